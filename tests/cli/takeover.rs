//! Taking over from the old layout: what is said, what goes, what comes back, and what stays.

use crate::fixture::{CliFixture, Done};
use crate::host::Host;
use crate::running::Running;

const ENGINES: [&str; 2] = ["nftables", "iptables"];
const VARIANTS: [&str; 2] = ["legacy", "nft"];

/// Everything of iptables and ipset that says something, as `saved` of [`old_layout`] lists it too.
const SAVED: &str =
    "{ iptables-legacy-save; iptables-nft-save; ipset save; } | grep -vE '^[#:*]|^COMMIT|initval'";

/// Puts the old layout on a host, by a variant of iptables, with a rule of others among its lines. `old` lists what of it
/// is there, and `rest` everything of iptables and ipset.
fn old_layout(variant: &str) -> String {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old-layout");
    format!(
        "iptables-{variant} -N DOCKER-USER
         iptables-{variant} -A FORWARD -j DOCKER-USER
         ipset restore <{directory}/default.ubuntu.set
         iptables-{variant}-restore --noflush <{directory}/default.rules
         iptables-{variant} -I INPUT -j FILTERS
         iptables-{variant} -I DOCKER-USER -s 192.0.2.66 -j DROP
         old() {{ iptables-{variant}-save -t filter | grep -cE 'FILTERS|ip_allow|172.1[78]|-i docker' || true; }}
         rest() {{ iptables-legacy-save; iptables-nft-save; ipset save; }}
         saved() {{ {SAVED} || true; }}"
    )
}

fn run(test: &str, variant: &str, script: &str) -> Done {
    let fixture = CliFixture::new(&format!("takeover-{test}-{variant}"));
    fixture.script(&format!("{}\n{script}", old_layout(variant)))
}

/// With each engine over the rules of each variant of iptables, which is then the one that Docker would use.
fn on_all(test: &str, script: &str, check: impl Fn(&Done)) {
    for engine in ENGINES {
        for variant in VARIANTS {
            let choose = format!(
                "mkdir /run/bin
                 for program in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
                     ln -s $(command -v $(echo $program | sed 's/tables/tables-{variant}/')) /run/bin/$program
                 done
                 PATH=/run/bin:$PATH"
            );
            let script = format!("{choose}\n{}", script.replace("ENGINE", engine));
            let done = run(&format!("{test}-{engine}"), variant, &script);
            check(&done);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn the_old_rules_go_and_those_of_others_stay() {
    let script = "
        dockfw apply --backend ENGINE --dry-run -v | grep -Ev '^nobody |^who |^  [+-] ' >planned
        test $(old) -gt 10
        dockfw apply --backend ENGINE >changed
        sed '$d' changed | cmp planned - >&2
        cat changed
        rest | grep -E 'ip_allow|172.1[78]' >left || true
        cat left >&2
        saved | grep -c 'DOCKER-USER -s 192.0.2.66/32 -j DROP' >&2
        dockfw apply --backend ENGINE | grep -q 'nothing changed'
        dockfw diff --backend ENGINE";
    on_all("apply", script, |done| {
        done.exits(0).prints("- IPv4 filter: old rules of chain FILTERS (iptables-");
        done.prints("    - -A DOCKER-USER -s 172.17.0.0/16 -j RETURN").prints("    - -A INPUT -j FILTERS");
        done.says("note: the set ip_allow is kept, for a rollback to the old rules");
        assert!(!done.stderr.contains("match-set"), "{done}");
    });
}

#[test]
#[ignore = "needs root"]
fn remove_brings_the_old_rules_back() {
    let script = "
        saved >before
        dockfw apply --backend ENGINE >&2
        dockfw remove
        saved | cmp before - >&2";
    on_all("remove", script, |done| {
        done.exits(0).prints("the old rules, which dockfw had taken over from, are in force again");
    });
}

#[test]
#[ignore = "needs root"]
fn where_the_old_rules_can_not_be_kept_nothing_changes() {
    for how in ["", "--confirm 1h --detach"] {
        let script = format!(
            "saved >before
             mount -o remount,ro /var/lib
             dockfw apply --backend ENGINE {how} && exit 1
             saved | cmp before - >&2"
        );
        on_all("read-only", &script, |done| {
            done.exits(0).says("not applied: the old rules could not be saved");
        });
    }
}

/// Nothing is changed then, not even in the records.
#[test]
#[ignore = "needs root"]
fn a_trial_that_is_refused_saves_no_old_rules() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old-layout");
    let script = format!(
        "dockfw apply --backend nftables >&2
         rm -r /var/lib/dockfw
         iptables-nft-restore --noflush <{directory}/default.rules
         iptables-nft -I INPUT -j FILTERS
         test $(old) -gt 2
         echo '# changed' >>dockfw.toml
         dockfw apply --backend nftables --confirm 1h || echo code $?
         test ! -e /var/lib/dockfw"
    );
    run("refused", "nft", &script).exits(0).prints("code 6").says("nothing was changed");
}

/// A program that kills the dockfw that started it once it has changed rules so many times as `/run/kill` says.
const KILLER: &str = r#"
    real=$(readlink /run/bin/iptables-restore)
    rm /run/bin/iptables-restore
    printf '#!/bin/sh\n%s "$@" || exit\ncase "$*" in *--test*|*--help*|*--version*) exit;; esac\n' $real >/run/bin/iptables-restore
    cat >>/run/bin/iptables-restore <<'END'
    left=$(cat /run/kill 2>/dev/null) || exit 0
    [ $left = 1 ] && rm /run/kill && kill -9 $PPID
    echo $((left - 1)) >/run/kill
END
    chmod +x /run/bin/iptables-restore"#;

#[test]
#[ignore = "needs root"]
fn an_apply_that_is_killed_halfway_does_not_lose_the_old_rules() {
    for next in ["", "dockfw apply --backend ENGINE >&2"] {
        let script = format!(
            "saved >before
             {KILLER}
             echo 1 >/run/kill
             dockfw apply --backend ENGINE >&2 || echo killed: $?
             {next}
             dockfw remove
             saved | cmp before - >&2"
        );
        on_all("killed", &script, |done| {
            done.exits(0).prints("killed: 137\n").prints("the old rules, which dockfw had taken over from");
        });
    }
}

/// What is killed may be killed again, on the way there and on the way back.
#[test]
#[ignore = "needs root"]
fn a_take_over_that_is_killed_brings_the_old_jump_back_once() {
    let script = format!(
        "saved >before
         {KILLER}
         for there in 1 2 3; do
             for back in 1 2 3; do
                 echo $there >/run/kill
                 dockfw apply --backend ENGINE >&2 || echo killed: $there
                 echo $back >/run/kill
                 dockfw remove >&2 || echo killed back: $back
                 rm -f /run/kill
                 dockfw remove >&2
                 saved | cmp before - >&2
             done
         done"
    );
    on_all("killed-twice", &script, |done| {
        done.exits(0).prints("killed: 1\n").prints("killed back: 1\n");
    });
}

#[test]
#[ignore = "needs root"]
fn remove_without_an_apply_leaves_the_old_rules() {
    on_all("untouched", "saved >before; dockfw remove; saved | cmp before - >&2", |done| {
        done.exits(0).prints("no rules of dockfw were there");
    });
}

#[test]
#[ignore = "needs root"]
fn a_trial_that_is_not_confirmed_ends_with_the_old_rules() {
    for engine in ENGINES {
        let host = Host::raise(&format!("takeover-trial-{engine}"));
        host.script(&format!("{}\nsaved >before", old_layout("nft"))).exits(0);
        let mut waiter = Running::start(&mut host.waiter(&format!("apply --backend {engine} --confirm 1h")));
        waiter.wait_for_talk("on trial for 1h");
        host.script("iptables-nft-save | grep -q 'match-set ip_allow'").exits(1);
        host.script("dockfw rollback").exits(0).prints("no policy is in force, as before the first apply");
        waiter.ends(7);
        host.script(&format!("{SAVED} | cmp before -")).exits(0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_trial_whose_records_are_lost_ends_with_the_old_rules() {
    let host = Host::raise("takeover-lost");
    host.script(&format!("{}\nsaved >before", old_layout("nft"))).exits(0);
    host.script(
        "dockfw apply --backend nftables --confirm 1h --detach; mv /var/lib/dockfw /var/lib/elsewhere",
    )
    .exits(0);
    host.wait_for("! pgrep -x dockfw");
    host.script(&format!("{SAVED} | cmp before -; nft list tables | {{ ! grep dockfw; }}")).exits(0);
}

/// Of `ipset`, the kernel's answer is wanted: that it gives none does not mean that the set is gone.
#[test]
#[ignore = "needs root"]
fn where_ipset_fails_remove_changes_nothing_and_without_it_the_old_rules_come_back() {
    let script = "
        saved >before
        dockfw apply --backend nftables >&2
        mount --bind /bin/false /usr/sbin/ipset
        dockfw remove && exit 9
        nft list tables | grep dockfw
        umount /usr/sbin/ipset
        mount --bind /dev/null /usr/sbin/ipset
        dockfw remove
        umount /usr/sbin/ipset
        saved | cmp before - >&2";
    let done = run("no-answer", "nft", script);
    done.exits(0).prints("table inet dockfw").prints("are in force again").says("unknown whether the set");
}

#[test]
#[ignore = "needs root"]
fn where_the_old_set_is_gone_remove_says_so() {
    let done =
        run("no-set", "nft", "dockfw apply --backend nftables >&2; ipset destroy ip_allow; dockfw remove");
    done.exits(0)
        .prints("removed")
        .says("the old rules are not restored: their set ip_allow does not exist any more");
}

/// Everything that a host of the old role restores at boot, and a systemd that notes what it is told.
const SERVICES: &str = "
    mkdir -p /run/upper /run/work /run/bin
    mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
    mkdir -p /etc/iptables /etc/sysconfig
    { iptables-legacy-save; iptables-nft-save; } >/etc/iptables/rules.v4
    echo '-A INPUT -j ACCEPT' >/etc/sysconfig/iptables
    printf '#!/bin/sh\\necho \"$@\" >>/run/told\\necho enabled\\n' >/run/bin/systemctl
    chmod +x /run/bin/systemctl
    PATH=/run/bin:$PATH";

#[test]
#[ignore = "needs root"]
fn what_would_bring_the_old_rules_back_is_named_and_left_alone() {
    let script = format!(
        "{SERVICES}
         dockfw check >&2
         dockfw apply --backend nftables
         ipset list -n ip_allow
         grep -c disable /run/told || true"
    );
    let done = run("persistence", "nft", &script);
    done.exits(0).prints("ip_allow\n0\n");
    let note =
        "netfilter-persistent.service will load the old rules at the next boot, from /etc/iptables/rules.v4";
    assert_eq!(done.stderr.matches(note).count(), 2, "{done}");
    assert!(!done.stderr.contains("/etc/sysconfig/iptables"), "{done}");
}

#[test]
#[ignore = "needs root"]
fn retire_old_ends_it() {
    for variant in VARIANTS {
        let script = format!(
            "{SERVICES}
             dockfw apply --backend nftables --retire-old >&2
             ipset list -n
             grep disable /run/told
             dockfw remove
             old"
        );
        let done = run("retire", variant, &script);
        done.exits(0).says("destroyed the set ip_allow");
        let expected = "disable netfilter-persistent.service\nremoved: no policy is in force any more: dockfw filters nothing\n0\n";
        assert_eq!(done.stdout, expected, "{done}");
    }
}

#[test]
fn retire_old_is_not_for_trials() {
    let fixture = CliFixture::new("takeover-usage");
    fixture.dockfw(&["apply", "--retire-old", "--confirm", "60s"]).exits(2).says("--confirm");
}
