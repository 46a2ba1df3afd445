//! `diff`: what is live in the kernel against the policy, on both engines.

use serde_json::Value;

use crate::fixture::{CliFixture, Done, GOOD};

const ENGINES: [&str; 2] = ["nftables", "iptables"];

/// Takes out of the file `found` who gains and who loses a port.
const WITHOUT_WORDS: &str = "sed -i '/^nobody gains/d; /^who gains/d; /^  [+-] /d' found";

/// Puts the policy in force by an engine, runs a script, and wants a diff that exits with 7, has just these lines, and is
/// what the next apply says it changed. After that there is none left.
fn differs(test: &str, engine: &str, script: &str, lines: &[&str]) {
    let fixture = CliFixture::new(&format!("diff-{test}-{engine}"));
    let done = fixture.script(&format!(
        "dockfw apply --backend {engine} >/dev/null
         {script}
         unchanged_all dockfw diff -v --backend {engine} >found || test $? = 7
         {WITHOUT_WORDS}
         cat found
         dockfw apply --backend {engine} >changed
         sed '$d' changed | cmp found - >&2
         dockfw diff -v --backend {engine}"
    ));
    let expected = format!("{}\nno differences ({engine})\n", lines.join("\n"));
    assert_eq!(done.exits(0).stdout, expected, "{engine}, {script}\n{done}");
}

fn differs_with_both(test: &str, script: &str, of_nftables: &[&str], of_iptables: &[&str]) {
    differs(test, ENGINES[0], script, of_nftables);
    differs(test, ENGINES[1], script, of_iptables);
}

#[test]
#[ignore = "needs root"]
fn after_an_apply_there_is_no_difference() {
    for engine in ENGINES {
        let fixture = CliFixture::new(&format!("diff-none-{engine}"));
        let script = format!("dockfw apply --backend {engine} >/dev/null; unchanged_all dockfw diff -v");
        fixture.script(&script).exits(0).prints(&format!("no differences ({engine})"));
    }
}

#[test]
#[ignore = "needs root"]
fn before_the_first_apply_everything_is_missing() {
    let fixture = CliFixture::new("diff-first");
    fixture
        .script("unchanged_all dockfw diff -v --backend nftables")
        .exits(7)
        .prints("+ table inet dockfw (");
    fixture
        .script("unchanged_all dockfw diff -v --backend iptables")
        .exits(7)
        .prints("+ set trusted (IPv6): +1 -0 of 1");
}

#[test]
#[ignore = "needs root"]
fn elements_that_others_changed_are_shown_one_by_one() {
    differs(
        "elements",
        "nftables",
        "set=$(set_of trusted_v4)
         nft delete element inet dockfw $set '{ 192.0.2.10 }'
         nft add element inet dockfw $set '{ 203.0.113.9 }'",
        &["~ set trusted (IPv4 addresses): +1 -1 of 1", "    - 203.0.113.9", "    + 192.0.2.10"],
    );
    differs(
        "elements",
        "iptables",
        "set=$(ipset list -n | grep dockfw4-trusted)
         ipset del $set 192.0.2.10
         ipset add $set 198.51.100.0/24",
        &["~ set trusted (IPv4): +1 -1 of 1", "    - 198.51.100.0/24", "    + 192.0.2.10"],
    );
}

#[test]
#[ignore = "needs root"]
fn a_rule_that_was_taken_out_is_named_by_its_place_in_the_policy() {
    let nft = "meta l4proto tcp ct original proto-dst @ports_80_443_i6um7ik422 counter name \"allow_web\" accept comment \"allow 'web'\"";
    let delete = "handle=$(nft -a list chain inet dockfw input | sed -n \"s/.*allow 'web'.* # handle //p\")
         nft delete rule inet dockfw input handle $handle";
    differs(
        "rule-gone",
        "nftables",
        delete,
        &["+ rule of hook input from allow 'web' at dockfw.toml:4", &format!("    + {nft}")],
    );
    differs(
        "rule-gone",
        "iptables",
        "line=$(iptables-save -t mangle | grep 'A FILTERS' | grep -n 443 | cut -d: -f1)
         iptables -t mangle -D FILTERS $line",
        &[
            "+ IPv4 mangle: rule of hook input (chain FILTERS) from allow 'web' at dockfw.toml:4",
            "    + -p tcp -m conntrack --ctorigdstport 443 -m comment --comment \"allow_web: allow 'web'\" -j RETURN",
        ],
    );
}

#[test]
#[ignore = "needs root"]
fn a_rule_of_someone_else_is_shown_in_the_words_of_its_tool() {
    differs(
        "rule-more",
        "nftables",
        "nft insert rule inet dockfw input ip saddr 203.0.113.0/24 tcp dport 9000-9010 accept comment backdoor",
        &[
            "- rule of hook input called \"backdoor\"",
            "    - ip saddr 203.0.113.0/24 tcp dport 9000-9010 accept comment \"backdoor\"",
        ],
    );
    differs(
        "rule-more",
        "iptables",
        "ip6tables -t mangle -I FILTERS -p tcp --dport 9000 -j ACCEPT",
        &["- IPv6 mangle: rule of hook input (chain FILTERS)", "    - -p tcp -m tcp --dport 9000 -j ACCEPT"],
    );
}

#[test]
#[ignore = "needs root"]
fn chains_and_jumps_are_compared_too() {
    differs_with_both(
        "chain",
        "nft add chain inet dockfw mine 2>/dev/null || iptables -N FILTERS-77",
        &["- chain mine"],
        &["- IPv4 filter: chain FILTERS-77"],
    );
    differs(
        "jump",
        "iptables",
        "iptables -D INPUT -j FILTERS",
        &["+ IPv4 filter: the jump from INPUT to FILTERS"],
    );
    differs(
        "jump-late",
        "iptables",
        "iptables -t mangle -I INPUT -i eth0 -j ACCEPT",
        &["~ IPv4 mangle: the jump from INPUT to FILTERS"],
    );
}

/// All that depends on the policy is in force before table filter.
#[test]
#[ignore = "needs root"]
fn what_others_accept_in_table_filter_is_no_difference() {
    let fixture = CliFixture::new("diff-accept");
    let done = fixture.script(
        "dockfw apply --backend iptables >/dev/null
         iptables -I INPUT 1 -j ACCEPT
         ip6tables -I INPUT 1 -j ACCEPT
         iptables -I FORWARD 1 -j ACCEPT
         unchanged_all dockfw diff -v
         dockfw apply",
    );
    done.exits(0).prints("no differences (iptables)").prints("nothing changed");
}

#[test]
#[ignore = "needs root"]
fn an_edit_of_the_policy_shows_what_is_live_and_what_is_wanted() {
    differs(
        "port",
        "nftables",
        "sed -i s/443/8443/ dockfw.toml",
        &[
            "+ set ports_80_8443 (ports): +2 -0 of 2",
            "    + 80",
            "    + 8443",
            "- set ports_80_443",
            "~ rule of hook prerouting (chain prefilter) from allow 'web' at dockfw.toml:4",
            "    - tcp dport @ports_80_443_i6um7ik422 accept comment \"allow 'web'\"",
            "    + tcp dport @ports_80_8443_6g26bm6eov accept comment \"allow 'web'\"",
            "~ rule of hook prerouting (chain tracked) from allow 'web' at dockfw.toml:4",
            "    - meta l4proto tcp ct original proto-dst @ports_80_443_i6um7ik422 accept comment \"allow 'web'\"",
            "    + meta l4proto tcp ct original proto-dst @ports_80_8443_6g26bm6eov accept comment \"allow 'web'\"",
            "~ rule of hook input from allow 'web' at dockfw.toml:4",
            "    - meta l4proto tcp ct original proto-dst @ports_80_443_i6um7ik422 counter name \"allow_web\" accept comment \"allow 'web'\"",
            "    + meta l4proto tcp ct original proto-dst @ports_80_8443_6g26bm6eov counter name \"allow_web\" accept comment \"allow 'web'\"",
            "~ rule of hook forward from allow 'web' at dockfw.toml:4",
            "    - meta oifkind \"bridge\" oifname @docker_bridges_4jh5cpki28 ct status dnat meta l4proto tcp ct original proto-dst @ports_80_443_i6um7ik422 counter name \"allow_web\" accept comment \"allow 'web'\"",
            "    + meta oifkind \"bridge\" oifname @docker_bridges_4jh5cpki28 ct status dnat meta l4proto tcp ct original proto-dst @ports_80_8443_6g26bm6eov counter name \"allow_web\" accept comment \"allow 'web'\"",
        ],
    );
    differs_with_both(
        "address",
        "sed -i 's/\"192.0.2.10\"/\"192.0.2.10\", \"192.0.2.99\"/' dockfw.toml",
        &["~ set trusted (IPv4 addresses): +1 -0 of 2", "    + 192.0.2.99"],
        &["~ set trusted (IPv4): +1 -0 of 2", "    + 192.0.2.99"],
    );
}

/// The rules of the compat engine name their sets by the digest of the content.
#[test]
#[ignore = "needs root"]
fn a_set_of_the_compat_engine_is_compared_with_the_one_before() {
    let fixture = CliFixture::new("diff-generation");
    let done = fixture.script(
        "dockfw apply --backend iptables >/dev/null
         sed -i 's/\"192.0.2.10\"/\"192.0.2.0\\/28\"/' dockfw.toml
         dockfw diff -v",
    );
    done.exits(7).prints("~ set trusted (IPv4): +1 -1 of 1\n    - 192.0.2.10\n    + 192.0.2.0/28\n");
    assert!(!done.stdout.contains("\n- set"), "the set before is not someone else's\n{done}");
}

/// As an apply leaves them that is killed before its end: without any effect, so that the policy is in force all the same.
#[test]
#[ignore = "needs root"]
fn what_an_apply_left_over_is_shown_and_taken_out() {
    differs(
        "leftover",
        "iptables",
        "ipset create dockfw4-old-0123456789 hash:net
         ipset create dockfw-new4-0123456789 hash:net
         dockfw status >/dev/null",
        &["- set dockfw4-old-0123456789 (left over)", "- set dockfw-new4-0123456789 (left over)"],
    );
    differs(
        "variant",
        "iptables",
        "iptables-legacy -N DOCKFW-USER",
        &["- IPv4: what was left in iptables-legacy"],
    );
}

/// Addresses that no two make a network of, then one less and three more.
const LARGE: &str = "seq 1 4096 | awk '{ n = 2 * $1; printf \"10.%d.%d.%d\\n\", n / 65536, n / 256 % 256, n % 256 }' >list.txt
     printf 'trusted = [\"file:list.txt\"]\\n' >dockfw.toml
     dockfw apply --backend ENGINE >/dev/null
     sed -i 1d list.txt
     printf '203.0.113.1\\n203.0.113.3\\n203.0.113.5\\n' >>list.txt
     dockfw diff -v --backend ENGINE";

#[test]
#[ignore = "needs root"]
fn large_sets_are_summed_up() {
    for engine in ENGINES {
        let fixture = CliFixture::new(&format!("diff-large-{engine}"));
        let done = fixture.script(&LARGE.replace("ENGINE", engine));
        done.exits(7).prints(": +3 -1 of 4,098\n    - 10.0.0.2\n    + 203.0.113.1\n");
        let many = fixture.script(&format!(
            "{}|| test $? = 7; sed -i 1,50d list.txt; dockfw diff -v",
            LARGE.replace("ENGINE", engine)
        ));
        many.exits(7).prints(": +3 -51 of 4,048\n");
        assert!(!many.stdout.contains("10.0.0.8"), "many are named one by one\n{many}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_elements_of_huge_sets_are_compared_where_that_is_asked_for() {
    let fixture = CliFixture::new("diff-huge");
    let done = fixture.script(
        "seq 1 100001 | awk '{ n = 2 * $1; printf \"10.%d.%d.%d\\n\", n / 65536, n / 256 % 256, n % 256 }' >list.txt
         printf 'trusted = [\"file:list.txt\"]\\n' >dockfw.toml
         dockfw apply --backend nftables >/dev/null
         nft delete element inet dockfw $(set_of trusted_v4) '{ 10.0.0.2 }'
         dockfw diff -v
         dockfw diff -v --verify || test $? = 7
         sed -i 1d list.txt
         dockfw diff -v || test $? = 7",
    );
    let trusted = "set trusted (IPv4 addresses)";
    let expected = format!(
        "no differences (nftables)\n\
         ~ {trusted}: +1 -0 of 100,001\n    + 10.0.0.2\n\
         nobody gains or loses a port\n\
         ~ {trusted}: 100,000 elements wanted, 100,001 loaded (not compared one by one)\n"
    );
    assert_eq!(done.exits(0).stdout, expected, "{done}");
}

#[test]
#[ignore = "needs root"]
fn only_a_terminal_sees_colours_and_only_if_it_wants_to() {
    let fixture = CliFixture::new("diff-colour");
    let on_terminal = |setting: &str| {
        let command = "script --quiet --return --command \"$DOCKFW --config dockfw.toml diff -v\" /dev/null";
        let done = fixture.script(&format!("{setting} {command}"));
        done.exits(7).prints("+ table inet dockfw (");
        done.stdout.contains('\u{1b}')
    };
    assert!(on_terminal("") && !on_terminal("NO_COLOR=1"));
    assert!(!fixture.script("dockfw diff -v").exits(7).stdout.contains('\u{1b}'));
}

#[test]
#[ignore = "needs root"]
fn the_other_engine_in_force_is_a_difference() {
    let fixture = CliFixture::new("diff-other");
    let done = fixture.script(
        "dockfw apply --backend iptables >/dev/null; unchanged_all dockfw diff -v --backend nftables",
    );
    done.exits(7).prints("+ table inet dockfw (").prints("- the rules of the iptables engine\n");
    let done = fixture.script(&format!(
        "dockfw apply --backend iptables >/dev/null
         dockfw diff -v --backend nftables >found || test $? = 7
         {WITHOUT_WORDS}
         dockfw apply --backend nftables >changed
         sed '$d' changed | cmp found - >&2
         dockfw diff -v"
    ));
    done.exits(0).prints("no differences (nftables)");
}

#[test]
#[ignore = "needs root"]
fn json_has_all_keys_that_are_documented() {
    let fixture = CliFixture::new("diff-json");
    let none = fixture.script("dockfw apply >/dev/null; dockfw diff --json").exits(0).json();
    assert_eq!(
        none,
        serde_json::json!({ "engine": "nftables", "differs": false, "differences": [], "unfit": null })
    );
    let script = "dockfw apply >/dev/null
        nft insert rule inet dockfw input accept
        nft delete element inet dockfw $(set_of trusted_v4) '{ 192.0.2.10 }'
        dockfw diff --json";
    let found = fixture.script(script).exits(7).json();
    assert_eq!((&found["engine"], &found["differs"]), (&Value::from("nftables"), &Value::Bool(true)));
    let set = serde_json::json!({
        "kind": "changed", "family": null, "table": null, "part": "set",
        "set": "trusted", "name": "trusted_v4_mq9caug9e3", "holds": "IPv4 addresses",
        "elements": {
            "live": 0, "wanted": 1,
            "added": { "count": 1, "names": ["192.0.2.10"] },
            "removed": { "count": 0, "names": [] },
        },
        "live": [], "wanted": [],
    });
    let rule = serde_json::json!({
        "kind": "foreign", "family": null, "table": null, "part": "rule",
        "hook": "input", "chain": "input", "origin": null, "comment": null,
        "elements": null, "live": ["accept"], "wanted": [],
    });
    assert_eq!(found["differences"], Value::from(vec![set, rule]));
    let script =
        "dockfw apply --backend iptables >/dev/null; iptables -D INPUT -j FILTERS; dockfw diff --json";
    let found: Done = fixture.script(script);
    let jump = serde_json::json!([{
        "kind": "missing", "family": "ipv4", "table": "filter", "part": "jump",
        "from": "INPUT", "to": "FILTERS", "elements": null, "live": [], "wanted": [],
    }]);
    assert_eq!(found.exits(7).json()["differences"], jump);
}

/// A process that listens at a port of the outside.
const LISTENING: &str = "ip link add eth0 type veth peer name far; ip link set eth0 up
    busybox nc -l -p 9000 >/dev/null 2>&1 </dev/null &
    listener=$!; trap 'kill $listener' EXIT
    timeout 20 sh -c 'until ss -ltn | grep -q :9000; do :; done'";

/// Writes a policy, looks what an apply would change, and wants these lines first. The rules that differ are only counted.
fn gains(test: &str, before: &str, policy: &str, lines: &str) {
    for (engine, command) in
        ENGINES.into_iter().flat_map(|engine| [(engine, "diff"), (engine, "apply --dry-run --exit-code")])
    {
        let fixture = CliFixture::new(&format!("gains-{test}-{engine}"));
        fixture.write("next.toml", policy);
        let command = format!("unchanged_all dockfw {command} --backend {engine}");
        let before = before.replace("ENGINE", engine);
        let done = fixture.script(&format!("{LISTENING}\n{before}\ncp next.toml dockfw.toml\n{command}"));
        let (words, count) = done
            .exits(7)
            .stdout
            .rsplit_once('\n')
            .and_then(|(all, _)| all.rsplit_once('\n'))
            .unwrap_or_default();
        assert_eq!(words, lines, "{done}");
        assert!(count.ends_with("dockfw diff -v"), "{done}");
    }
}

const HEADING: &str = "who gains (+) and who loses (-) a port, as far as dockfw decides:";

#[test]
#[ignore = "needs root"]
fn a_first_apply_takes_ports_from_everyone() {
    gains("first", ":", GOOD, &format!("{HEADING}\n  - everyone but trusted: 9000/tcp (busybox)"));
}

/// Nothing filters before, so that containers have what everyone has.
#[test]
#[ignore = "needs root"]
fn a_first_apply_tells_families_and_containers_apart() {
    let bridge = "ip link add docker0 up type bridge; ip address add 172.17.0.1/16 dev docker0";
    let lines = format!(
        "{HEADING}
  - containers: 9000/tcp (busybox)
  - everyone but trusted over IPv4: 9000/tcp (busybox)
  - everyone over IPv6: 9000/tcp (busybox)"
    );
    gains("families", bridge, "trusted = [\"192.0.2.10\"]\n", &lines);
    let rule = "[[allow]]\nname = \"metrics\"\nports = [\"9000/tcp\"]\n";
    gains("kept", bridge, rule, "nobody gains or loses a port");
}

#[test]
#[ignore = "needs root"]
fn a_rule_gives_its_port_to_those_whom_it_names() {
    let apply = "dockfw apply --backend ENGINE >/dev/null";
    let rule = "[[allow]]\nname = \"metrics\"\nports = [\"9000/tcp\"]\n";
    gains("rule", apply, &format!("{GOOD}{rule}"), &format!("{HEADING}\n  + everyone: 9000/tcp (busybox)"));
    let some = format!("{GOOD}{rule}from = [\"192.0.2.66\", \"192.0.2.8/29\"]\n");
    // 192.0.2.10 is trusted already.
    let lines = format!("{HEADING}\n  + 192.0.2.8/31, 192.0.2.11-192.0.2.15, 192.0.2.66: 9000/tcp (busybox)");
    gains("some", apply, &some, &lines);
}

#[test]
#[ignore = "needs root"]
fn who_is_not_trusted_any_more_loses_all_ports() {
    let apply = "dockfw apply --backend ENGINE >/dev/null";
    let policy = GOOD.replace("192.0.2.10", "192.0.2.20");
    let lines = format!("{HEADING}\n  + 192.0.2.20: 9000/tcp (busybox)\n  - 192.0.2.10: 9000/tcp (busybox)");
    gains("trusted", apply, &policy, &lines);
}

#[test]
#[ignore = "needs root"]
fn a_port_at_which_nothing_answers_is_nobodys_gain() {
    let apply = "dockfw apply --backend ENGINE >/dev/null";
    gains("nothing", apply, &GOOD.replace("443", "444"), "nobody gains or loses a port");
}

#[test]
#[ignore = "needs root"]
fn under_rules_that_others_changed_gains_are_unknown() {
    let fixture = CliFixture::new("gains-unknown");
    let script =
        format!("{LISTENING}; dockfw apply >/dev/null; nft add rule inet dockfw input accept; dockfw diff");
    let done = fixture.script(&script);
    done.exits(7).says("unknown who gains and who loses a port: another program changed the rules in force");
    assert_eq!(done.stdout, "1 rule or set differs; to see it: dockfw diff -v\n", "{done}");
}
