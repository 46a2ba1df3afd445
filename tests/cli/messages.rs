//! Every word that the program writes to stderr in common situations, as it is written: a change of a message is read as a diff.
//!
//! `UPDATE_GOLDEN=1` rewrites what is expected.

use std::fs;
use std::path::Path;

use crate::fixture::{GOOD, SYSTEMD};
use crate::host::Host;

/// Situations, each on a host of its own: a name, how it comes about, and the command whose messages are meant.
const SITUATIONS: &[(&str, &str, &str)] = &[
    ("no-rights", "", "setpriv --bounding-set=-all --inh-caps=-all \"$DOCKFW\" --config dockfw.toml apply"),
    ("no-policy", "rm dockfw.toml", "dockfw apply"),
    ("wrong-policy", "echo 'trustd = [\"192.0.2.300\"]' >dockfw.toml", "dockfw apply"),
    ("wrong-policy-over-another", "dockfw apply; echo '[' >dockfw.toml", "here dockfw apply"),
    ("wrong-policy-status", "dockfw apply; echo '[' >dockfw.toml", "here dockfw status"),
    (
        "wrong-policy-status-unrecorded",
        "dockfw apply; rm -r /var/lib/dockfw; echo '[' >dockfw.toml",
        "here dockfw status",
    ),
    ("wrong-policy-diff", "dockfw apply; echo '[' >dockfw.toml", "here dockfw diff"),
    ("everyone-shut-out", "echo 'trusted = []' >dockfw.toml", "dockfw apply"),
    ("checked", "echo 'trusted = []' >dockfw.toml", "here dockfw check"),
    (
        "checked-in-order",
        "ip link add virbr0 up type bridge
         printf '[[allow]]\nname = \"again\"\nports = [\"80/tcp\"]\n' >>dockfw.toml",
        "here dockfw check",
    ),
    ("checked-forced", "echo 'trusted = []' >dockfw.toml", "here dockfw check --force"),
    (
        "checked-wrong-policy",
        "dockfw apply; echo 'trustd = [\"192.0.2.300\"]' >dockfw.toml",
        "here dockfw check",
    ),
    ("checked-with-ufw-on", "systemd enabled; ufw yes", "again; here dockfw check"),
    ("checked-with-ufw-off", "systemd enabled; ufw no", "again; here dockfw check"),
    (
        "checked-without-an-engine",
        "systemd enabled; mount --bind /dev/null /usr/sbin/ipset
         printf '#!/bin/sh\necho iptables v1.6.1\n' >/run/bin/iptables; chmod +x /run/bin/iptables",
        "again; here dockfw check",
    ),
    (
        "checked-without-its-engine",
        "mount --bind /dev/null /usr/sbin/ipset; printf '[engine]\nbackend = \"iptables\"\n' >>dockfw.toml",
        "here dockfw check",
    ),
    (
        "checked-without-rights",
        "",
        "here setpriv --bounding-set=-all --inh-caps=-all \"$DOCKFW\" --config dockfw.toml check",
    ),
    ("forced", "echo 'trusted = []' >dockfw.toml", "dockfw apply --force"),
    ("false-bridge", "ip link add br-x type veth peer name other", "dockfw apply"),
    (
        "unnamed",
        "ip link add virbr0 up type bridge; ip link add ve-db up type veth peer name in-db",
        "dockfw apply",
    ),
    (
        "exempt-uplink",
        "ip route add default dev eth0; echo 'interfaces.exempt = [\"eth*\"]' >dockfw.toml",
        "dockfw apply",
    ),
    (
        "crossing",
        "ip link add vmbr9 type bridge; ip address add 203.0.113.1/24 dev vmbr9; \
                  echo 'trusted = [\"198.51.100.2\"]' >dockfw.toml; echo 'interfaces.crossing = [\"vmbr*\"]' >>dockfw.toml",
        "dockfw apply",
    ),
    (
        "needed-and-blocked",
        "mkdir -p /run/systemd/resolve; echo nameserver 203.0.113.53 >/run/systemd/resolve/resolv.conf; \
                            echo 'blocked = [\"203.0.113.0/24\"]' >dockfw.toml; \
                            echo 'trusted = [\"198.51.100.2\"]' >>dockfw.toml",
        "dockfw apply",
    ),
    ("trial", "dockfw apply", "edit; dockfw apply --confirm 1h --detach"),
    ("trial-over-a-trial", "dockfw apply; edit; dockfw apply --confirm 1h --detach", "edit; dockfw apply"),
    ("trial-without-a-record", "dockfw apply; rm -r /var/lib/dockfw", "edit; dockfw apply --confirm 1h"),
    ("trial-without-the-old-rules", "", "dockfw apply --confirm 1h --detach --retire-old"),
    ("nothing-on-trial", "", "dockfw confirm"),
    ("too-late", "dockfw apply; edit; dockfw apply --confirm 1h --detach; dockfw rollback", "dockfw confirm"),
    ("apply-after-rollback", "dockfw apply; edit; dockfw apply; dockfw rollback", "dockfw apply"),
    ("rollback", "dockfw apply; edit; dockfw apply", "here dockfw rollback"),
    ("rollback-of-a-first-policy", "dockfw apply --confirm 1h --detach", "here dockfw rollback"),
    ("rollback-write-file", "dockfw apply; edit; dockfw apply", "here dockfw rollback --write-file"),
    ("show-in-force", "dockfw apply; edit", "here dockfw show --in-force"),
    ("nothing-to-go-back-to", "", "dockfw rollback"),
    ("boot-without-a-policy", "rm dockfw.toml", "dockfw boot"),
    ("boot-with-a-wrong-policy", "dockfw apply; echo '[' >dockfw.toml", "dockfw boot"),
    ("boot-after-rollback", "dockfw apply; edit; dockfw apply; dockfw rollback", "dockfw boot"),
    ("boot-of-a-policy-that-trusts-nobody", "echo 'trusted = []' >dockfw.toml", "dockfw boot"),
    ("damaged-records", "dockfw apply; echo x >/var/lib/dockfw/state.json", "dockfw apply"),
    (
        "damaged-records-on-trial",
        "dockfw apply; echo x >/var/lib/dockfw/state.json",
        "edit; dockfw apply --confirm 1h",
    ),
    ("no-ipset", "mount --bind /dev/null /usr/sbin/ipset", "dockfw apply --backend iptables"),
    ("moved", "dockfw apply --backend iptables", "dockfw apply --backend nftables"),
    ("full-disk", "", "dockfw show >/dev/full"),
    ("watch-without-a-terminal", "", "dockfw status --watch"),
    ("unknown-page", "", "dockfw man nowhere"),
    ("import-of-nothing", "", "dockfw import --live"),
    ("import-of-junk", "echo hello >junk.set", "dockfw import junk.set"),
    (
        "import-over-a-file",
        "echo 'create ip_allow hash:net' >old.set; echo 'add ip_allow 192.0.2.10' >>old.set; \
                            mkdir there; echo >there/dockfw.toml",
        "dockfw import --output there old.set",
    ),
    ("explain-no-interface", "", "dockfw explain --from 192.0.2.20 --in eth9 --port 80/tcp"),
    ("explain-link-local", "", "dockfw explain --from fe80::7 --port 80/tcp"),
    ("explain-no-route-back", "", "dockfw explain --from 203.0.113.9 --port 80/tcp"),
    ("explain-no-route-on", "", "dockfw explain --from 198.51.100.2 --to 203.0.113.9 --port 80/tcp"),
    ("explain-families", "", "dockfw explain --from 198.51.100.2 --to 2001:db8::1 --port 80/tcp"),
    ("explain-not-in-force", "", "here dockfw explain --from 198.51.100.66 --port 5432/tcp"),
    ("explain-agreed", "", "here dockfw explain --from 198.51.100.66 --port 80/tcp"),
    ("explain-in-force", "dockfw apply", "here dockfw explain --from 198.51.100.66 --port 5432/tcp"),
    ("explain-opened", "dockfw apply", "here dockfw explain --from 198.51.100.66 --port 80/tcp"),
    (
        "explain-trusted",
        "sed -i s/192.0.2.10/198.51.100.10/ dockfw.toml; dockfw apply",
        "here dockfw explain --from trusted --port 22/tcp",
    ),
    (
        "explain-over-another",
        "dockfw apply; sed -i s/443/8443/ dockfw.toml",
        "here dockfw explain --from 198.51.100.66 --port 443/tcp",
    ),
    (
        "explain-over-changed-rules",
        "dockfw apply --backend nftables; nft add rule inet dockfw input accept",
        "here dockfw explain --from 198.51.100.66 --port 5432/tcp",
    ),
    (
        "explain-group",
        "printf 'blocked = [\"198.51.100.40\"]\\n[groups]\\noffice = [\"198.51.100.32/28\"]\\n[[allow]]\\nname = \"db\"\\n\
         from = [\"office\"]\\nports = [\"5432/tcp\"]\\n' >dockfw.toml; dockfw apply --force",
        "here dockfw explain --from office --port 5432/tcp",
    ),
    (
        "explain-wrong-policy",
        "dockfw apply; echo '[' >dockfw.toml",
        "here dockfw explain --from 198.51.100.66 --port 5432/tcp",
    ),
    (
        "explain-wrong-policy-without-another",
        "echo '[' >dockfw.toml",
        "here dockfw explain --from 198.51.100.66 --port 5432/tcp",
    ),
    ("explain-unknown-name", "", "here dockfw explain --from \"$(printf 'offi\\033[31mce')\" --port 80/tcp"),
    ("unknown-option", "", "dockfw apply --fource"),
    ("init", "rm dockfw.toml", "dockfw init"),
    ("init-over-a-file", "", "dockfw init"),
    (
        "init-beside-conf.d",
        "mkdir conf.d; mv dockfw.toml conf.d/public.toml; sed -i s/web/public/ conf.d/public.toml",
        "dockfw init",
    ),
    ("guessed-allow", "", "dockfw allow 80/tcp"),
    ("guessed-deny", "", "dockfw deny from 192.0.2.20"),
    ("guessed-trust", "", "dockfw trust 192.0.2.20"),
    ("guessed-delete", "", "dockfw delete allow 80/tcp"),
    ("guessed-reload", "", "dockfw reload"),
    ("guessed-enable", "", "dockfw -v enable"),
    ("guessed-stop", "", "dockfw stop"),
    ("guessed-reset", "", "dockfw reset"),
    ("guessed-save", "", "dockfw save"),
    ("guessed-list", "", "dockfw list"),
    ("not-enabled-applied", "systemd disabled", "again; here dockfw apply"),
    ("not-enabled-checked", "systemd disabled", "again; here dockfw check"),
    (
        "not-enabled-confirmed",
        "systemd disabled; dockfw apply --confirm 1h --detach",
        "again; here dockfw confirm",
    ),
    ("not-enabled-status", "systemd disabled; dockfw apply", "again; here dockfw status"),
    ("masked-applied", "systemd masked", "again; here dockfw apply"),
    ("enable-while-masked", "systemd masked", "again; dockfw apply --enable"),
    ("enable-without-a-unit", "systemd not-found", "again; dockfw apply --enable"),
    (
        "enable-fails",
        "systemd disabled; sed -i \"s/^'enable .*/enable*) echo No space left >\\&2; exit 1;;/\" /run/bin/systemctl",
        "again; here dockfw apply --enable",
    ),
    ("enabled", "systemd disabled", "again; here dockfw apply --enable"),
];

/// `edit` makes the policy another one.
/// `ufw` installs a ufw whose unit is active, and which is on (`yes`) or off.
/// `here` runs a command whose stdout is meant too, and takes the test's directory out of what it says.
const PREPARED: &str = "edit() { echo '# changed' >>dockfw.toml; }
    here() { code=0; \"$@\" >said 2>&1 || code=$?; sed \"s|$PWD/||g; s/ *[0-9][0-9]* packets .*/ N packets/\" said >&2; return $code; }
    ufw() {
        mkdir /run/upper /run/work
        mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
        mkdir -p /etc/ufw
        echo ENABLED=$1 >/etc/ufw/ufw.conf
        touch /run/ufw
    }
    sysctl -qw net.ipv4.conf.eth0.rp_filter=1";

#[test]
#[ignore = "needs root"]
fn messages_are_as_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/written");
    let mut wrong = Vec::new();
    for (name, before, command) in SITUATIONS {
        let host = Host::raise(&format!("say-{name}"));
        host.fixture.write("dockfw.toml", GOOD);
        host.script(&format!("{SYSTEMD}\n{PREPARED}; {{\n{before}\n:; }} >before 2>&1")).exits(0);
        let done = host.script(&format!("{SYSTEMD}\n{PREPARED}; {command}"));
        let actual =
            format!("$ {command}\n{}exit code {}\n", timeless(&done.stderr), done.code().unwrap_or(-1));
        let path = directory.join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &actual).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != actual {
            wrong.push(format!("{} differs; now it is\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A command that help gives ends its line, and a few words before it tell what it is for.
#[test]
fn commands_come_last_and_have_a_purpose() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/written");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for help in text.lines().filter_map(|line| line.trim_start().strip_prefix("help: ")) {
            assert!(!is_command(help), "{}: without a purpose: {help}", path.display());
            let command = help.rsplit_once(": ").map(|(_, last)| last).filter(|last| is_command(last));
            let is_alone = command.is_none_or(|command| !command.contains(['(', ',', '`']));
            assert!(is_alone, "{}: followed by words: {help}", path.display());
        }
    }
}

fn is_command(text: &str) -> bool {
    let program = text.split(' ').next().unwrap_or_default();
    ["dockfw", "systemctl", "sysctl", "journalctl", "ip", "iptables", "ipset", "sudo"].contains(&program)
}

/// Every file is of a situation.
#[test]
fn no_messages_are_left_over() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/written");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_known = SITUATIONS.iter().any(|(known, ..)| name == format!("{known}.txt"));
        assert!(is_known, "{name} is of no situation");
    }
}

/// The length of a moment, as in 2026-11-22T20:46:46Z.
const MOMENT: usize = 20;

/// A text in which moments are all the same.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', ')']);
    let words = words.map(|word| {
        let is_moment = word.len() > MOMENT && word.as_bytes()[10] == b'T' && word.starts_with("20");
        if is_moment { format!("MOMENT{}", &word[MOMENT..]) } else { word.to_owned() }
    });
    words.collect()
}
