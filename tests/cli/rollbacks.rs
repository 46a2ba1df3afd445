//! What is in the policy file after a rollback, and how the text of what is in force comes to be there again.

use crate::host::Host;

/// Policies of several files: `dockfw.toml`, one in `conf.d` and a list. The first is confirmed, and the second in force.
fn two_policies_of_many_files(test: &str) -> Host {
    let host = Host::raise(test);
    host.fixture.write("conf.d/10-web.toml", "[[allow]]\nname = \"a\"\nports = [\"81/tcp\"]\n");
    host.fixture.write("lists/vpn.txt", "192.0.2.77\n");
    host.fixture.write("dockfw.toml", format!("{}\n{LIST}", crate::fixture::GOOD));
    host.script("dockfw apply").exits(0);
    host.script("mkdir saved; cp -a dockfw.toml conf.d lists saved").exits(0);
    host.script("chmod 640 dockfw.toml; chown 1000:1000 dockfw.toml").exits(0);
    host.script("sed -i s/443/444/ dockfw.toml; echo 192.0.2.78 >>lists/vpn.txt; rm conf.d/*").exits(0);
    host.fixture.write("conf.d/20-new.toml", "[[allow]]\nname = \"b\"\nports = [\"82/tcp\"]\n");
    host.script("dockfw apply").exits(0);
    host
}

const LIST: &str = "[groups]\nvpn = [\"file:lists/vpn.txt\"]\n[[allow]]\nname = \"vpn\"\nfrom = [\"vpn\"]\nports = [\"90/tcp\"]\n";

#[test]
#[ignore = "needs root"]
fn a_rollback_says_that_the_file_is_another() {
    let host = Host::with_two_policies("rollback-file");
    host.script("dockfw apply").exits(0);
    let still = "still contains the policy that was rolled back\n  the next `dockfw apply` puts";
    host.script("dockfw rollback").exits(0).says(still).says("dockfw rollback --write-file");
    host.write_policy("445");
    host.script("dockfw apply --confirm 1h --detach; dockfw rollback").exits(0).says(still);
    host.script("dockfw rollback || true").says("nothing was rolled back");
    host.script("echo '[' >dockfw.toml");
    host.script("dockfw rollback --write-file").exits(0).prints("what was there is kept as");
    host.script("dockfw diff; dockfw apply").exits(0).prints("nothing changed");
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn a_file_that_is_in_force_needs_no_words() {
    let host = Host::with_two_policies("rollback-same");
    host.script("dockfw apply").exits(0);
    host.write_policy("443");
    let done = host.script("dockfw rollback");
    assert_eq!(done.exits(0).stderr, "");
    host.script("dockfw rollback --write-file").exits(0).prints("contains the policy in force already");
    host.script("test ! -e dockfw.toml.rolled-back").exits(0);
}

#[test]
#[ignore = "needs root"]
fn the_text_of_what_is_in_force_is_shown() {
    let host = Host::raise("show-text");
    host.script("dockfw show --in-force").exits(1).is_silent().says("is not recorded");
    host.script("dockfw show --confirmed").exits(1).is_silent().says("no policy is confirmed");
    host.script("dockfw apply; cp dockfw.toml first").exits(0);
    host.write_policy("444");
    host.script("dockfw apply --confirm 1h --detach; cp dockfw.toml second; echo '[' >dockfw.toml").exits(0);
    host.script("dockfw show --in-force | cmp - second >&2; dockfw show --confirmed | cmp - first >&2")
        .exits(0);
    host.script("dockfw show --in-force").says("note: in force (nftables)");
    host.script("dockfw rollback; dockfw show --in-force | cmp - first >&2").exits(0);
    let without = "setpriv --bounding-set=-all --inh-caps=-all \"$DOCKFW\" show --in-force";
    host.script(without).exits(4).is_silent().says("root has this capability");
    let host = two_policies_of_many_files("show-texts");
    let shown = host.script("dockfw show --in-force | sed \"s|$PWD/||\"").exits(0).stdout.clone();
    let parts = [
        "# ---- dockfw.toml\n",
        "444",
        "# ---- conf.d/20-new.toml\n",
        "# ---- lists/vpn.txt\n",
        "192.0.2.78\n",
    ];
    let places: Vec<_> =
        parts.map(|part| shown.find(part).unwrap_or_else(|| panic!("{part}: {shown}"))).into();
    assert!(places.is_sorted(), "{shown}");
}

#[test]
#[ignore = "needs root"]
fn the_text_is_written_into_its_files_and_the_others_are_kept() {
    let host = two_policies_of_many_files("rollback-write");
    host.script("cp -a dockfw.toml conf.d lists /run").exits(0);
    host.script("dockfw rollback --write-file")
        .exits(0)
        .prints("dockfw.toml; what was there is kept as ")
        .prints("20-new.toml.rolled-back\n");
    host.script("cmp dockfw.toml saved/dockfw.toml; cmp lists/vpn.txt saved/lists/vpn.txt").exits(0);
    host.script("diff -r conf.d saved/conf.d | grep -v 'Only in conf.d: 20-new.toml.rolled-back' | cat >&2")
        .exits(0);
    host.script(
        "cmp dockfw.toml.rolled-back /run/dockfw.toml; cmp lists/vpn.txt.rolled-back /run/lists/vpn.txt",
    )
    .exits(0);
    host.script("cmp conf.d/20-new.toml.rolled-back /run/conf.d/20-new.toml; test ! -e conf.d/20-new.toml")
        .exits(0);
    host.script("stat -c '%a %u %g' dockfw.toml").prints("640 1000 1000\n");
    host.script("dockfw diff; dockfw boot").exits(0);
    assert_eq!(host.in_force(), ["443"]);
}

#[test]
#[ignore = "needs root"]
fn what_can_not_be_written_leaves_the_rollback() {
    let host = Host::with_two_policies("rollback-unwritable");
    host.script("dockfw apply; mkdir dockfw.toml.dockfw-new; touch dockfw.toml.dockfw-new/x").exits(0);
    host.script("cp dockfw.toml before; dockfw rollback --write-file")
        .exits(1)
        .prints("rolled back: the policy applied at")
        .says("can't write");
    host.script("cmp dockfw.toml before; test ! -e dockfw.toml.rolled-back").exits(0);
    assert_eq!(host.in_force(), ["443"]);
    let host = Host::raise("rollback-to-nothing");
    host.script("dockfw apply --confirm 1h --detach").exits(0);
    host.script("dockfw rollback --write-file").exits(1).says("no policy is in force");
    assert!(host.in_force().is_empty());
}
