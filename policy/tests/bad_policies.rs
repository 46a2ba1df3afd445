//! What is wrong with a policy is said with file, line, column and what would be right.

#![allow(clippy::unwrap_used)]

mod common;

use common::Memory;

/// Files, and what must be said of them: for each error its place, a part of its message and a part of its help.
struct Case<'a> {
    files: &'a [(&'a str, &'a str)],
    errors: &'a [(&'a str, &'a str, &'a str)],
}

/// A case of one policy file and one error.
fn check(text: &str, place: &str, message: &str, help: &str) {
    check_all(&Case { files: &[("dockfw.toml", text)], errors: &[(place, message, help)] });
}

fn check_all(case: &Case<'_>) {
    let rejected = Memory::of(case.files).load().err().unwrap();
    let shown = rejected.errors.render(false);
    let found: Vec<_> = rejected.errors.diagnostics().iter().collect();
    assert_eq!(found.len(), case.errors.len(), "{shown}");
    for (found, (place, message, help)) in found.into_iter().zip(case.errors) {
        assert!(found.message.contains(message), "{message:?} not in the message of\n{shown}");
        assert!(found.help.as_ref().unwrap().contains(help), "{help:?} not in the help of\n{shown}");
        let location = rejected.errors.sources().locate(found.span.unwrap());
        assert_eq!(format!("{}:{}:{}", location.file, location.line, location.column), *place, "{shown}");
        assert!(shown.contains(&format!("--> {place}\n")), "{shown}");
    }
}

const RULE: &str = "[[allow]]\nname = \"web\"\nports = [\"80/tcp\"]\n";

#[test]
fn keys() {
    for (text, place, message, help) in [
        ("trused = []", "1:1", "unknown key `trused`", "did you mean `trusted`?"),
        ("[icmp]\nehco = \"accept\"", "2:1", "unknown key `ehco`", "did you mean `echo`?"),
        ("xyz = 1", "1:1", "unknown key `xyz`", "`trusted`, `blocked`, `groups`, `allow`"),
        (
            "[[allow]]\nname = \"a\"\nport = [\"80/tcp\"]",
            "3:1",
            "unknown key `port`",
            "did you mean `ports`?",
        ),
        ("docker = [\"docker0\"]", "1:1", "unknown key `docker`", "did you mean `interfaces.docker`?"),
        (
            "docker = []\n[interfaces]\ninside = []",
            "1:1",
            "unknown key `docker`",
            "move it below [interfaces]",
        ),
        ("[log]\ntrusted = []", "2:1", "unknown key `trusted`", "move it above the first [...]"),
        ("[log]\necho = \"trusted\"", "2:1", "unknown key `echo`", "or write [icmp] on the line above it"),
        ("[log]\nsubject = 1", "2:1", "unknown key `subject`", "remove it; the keys of [log] are"),
        ("[[allow]]\nports = [\"80/tcp\"]", "1:1", "has no `name`", "name = \"rule-1\""),
        ("trusted = []\n\n[[allow]]\nname = \"a\"", "3:1", "has no `ports`", "ports = [\"443/tcp\"]"),
    ] {
        check(text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn wrong_types() {
    for (text, place, message, help) in [
        ("trusted = \"10.0.0.1\"", "1:11", "`trusted` must be a list", "trusted = [\"10.0.0.1\"]"),
        ("blocked = [\"10.0.0.1\", 5]", "1:24", "entries of `blocked` must be strings", "in quotes"),
        ("icmp = 5", "1:8", "`icmp` must be a table", "[icmp]"),
        ("[log]\ndrops = \"true\"", "2:9", "`log.drops` must be `true` or `false`", "drops = true"),
        ("[log]\nrate = 10", "2:8", "`log.rate` must be a text", "\"10/second\""),
        ("[swarm]\ndata_path_port = 4789.5", "2:18", "must be a whole number", "data_path_port = 4789"),
        ("[allow]\nname = \"a\"", "1:1", "begins with double brackets", "write [[allow]]"),
        ("[groups]\noffice = \"10.0.0.1\"", "2:10", "must be a list", "[\"10.0.0.1\"]"),
        ("[[allow]]\nname = 1\nports = [\"1/tcp\"]", "2:8", "`name` must be a text", "name = \"web\""),
    ] {
        check(text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn addresses() {
    for (entry, message, help) in [
        ("10.0.0.7/24", "host bits", "\"10.0.0.0/24\" for the network, or \"10.0.0.7\""),
        ("10.0.0.0/33", "prefix length must be 0 to 32", "from 0 to 32"),
        ("10.0.0.9-10.0.0.1", "ends before it starts", "\"10.0.0.1-10.0.0.9\""),
        ("10.0.0.9-::1", "in the other", "one range for IPv4"),
        ("::ffff:10.0.0.1", "IPv4-mapped", "\"10.0.0.1\""),
        ("10.0.0.300", "not an address", "203.0.113.7"),
        (" 10.0.0.1", "not an address", "\"10.0.0.1\""),
        ("ofice", "there is no group `ofice`", "did you mean `office`?"),
        ("vpn.example.com", "host names are not looked up", "write the addresses"),
        ("containers", "`containers` is not allowed in `blocked`", "from = [\"containers\"]"),
        ("file:", "without a file", "\"file:lists/vpn.txt\""),
    ] {
        let text = format!("blocked = [\"{entry}\"]\n[groups]\noffice = []");
        check(&text, "/etc/dockfw/dockfw.toml:1:12", message, help);
    }
}

#[test]
fn groups() {
    for (text, place, message, help) in [
        (
            "[groups]\na = [\"b\"]\nb = [\"c\"]\nc = [\"10.0.0.1\", \"a\"]",
            "4:18",
            "`a` -> `b` -> `c` -> `a`",
            "remove one",
        ),
        ("[groups]\na = [\"a\"]", "2:6", "`a` -> `a`", "remove one"),
        ("[groups]\ncontainers = []", "2:1", "built in", "another name"),
        ("trusted = [\"feed:list.txt\"]", "1:12", "is not allowed in `trusted`", "\"file:list.txt\""),
        ("[groups]\na = [\"feed:list.txt\"]", "2:6", "is not allowed in `groups`", "only `blocked` takes"),
        ("blocked = [\"feed:\"]", "1:12", "without a file", "feed:lists"),
        ("[groups]\ninside = []", "2:1", "built in", "inside-addresses"),
        ("trusted = [\"inside\"]", "1:12", "is not allowed in `trusted`", "[[allow]]"),
        ("[groups]\na = [\"containers\"]", "2:6", "is not allowed in `groups`", "[[allow]]"),
        ("[groups]\n\"10.0.0.1\" = []", "2:1", "looks like an address", "another name"),
        ("[groups]\n\"a\\\"b\" = []", "2:1", "a name can't have", "as in \"ab\""),
    ] {
        check(text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn rules() {
    let ports = |ports: &str| format!("[[allow]]\nname = \"web\"\nports = [{ports}]\n");
    for (text, place, message, help) in [
        (ports("80"), "3:10", "a port needs its protocol", "write \"80/tcp\""),
        (ports("\"80\""), "3:10", "a port needs its protocol", "write \"80/tcp\""),
        (ports("\"70000/tcp\""), "3:10", "from 1 to 65535", "from 1 to 65535"),
        (ports("\"ip/6\""), "3:10", "has ports", "\"443/tcp\""),
        (ports("\"80/TCP\""), "3:10", "not in Docker's notation", "\"80/tcp\""),
        (ports("\"90-80/tcp\""), "3:10", "ends before it starts", "\"80-90/tcp\""),
        (ports(""), "3:9", "`ports` is empty", "take the rule out"),
        (format!("{RULE}from = []"), "4:8", "`from` is empty", "remove `from`"),
        (format!("{RULE}to = \"dockr\""), "4:6", "`to` can't be `dockr`", "did you mean \"docker\"?"),
        (format!("{RULE}\n{RULE}"), "6:8", "two rules are called `web`", "its own name"),
        (RULE.replace("web", ""), "2:8", "this one has 0", "short name"),
        (RULE.replace("web", &"x".repeat(65)), "2:8", "this one has 65", "short name"),
        (RULE.replace("web", "a\\\\b"), "2:8", "can't have `\\`", "as in \"ab\""),
        (RULE.replace("web", "a\u{202e}b"), "2:8", "a name can't have", "as in \"ab\""),
        (RULE.replace("web", "a\\nb"), "2:8", "a name can't have", "as in \"ab\""),
    ] {
        check(&text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn single_values() {
    for (text, place, message, help) in [
        ("[icmp]\necho = \"drop\"", "2:8", "`icmp.echo` can't be `drop`", "\"accept\" or \"trusted\""),
        ("[engine]\nbackend = \"nft\"", "2:11", "can't be `nft`", "did you mean \"nftables\"?"),
        ("[log]\nrate = \"10/week\"", "2:8", "`10/week` is not a rate", "10/second"),
        ("[swarm]\ndata_path_port = 80", "2:18", "data path port", "from 1024 to 49151"),
        ("[swarm]\ndata_path_port = -1", "2:18", "data path port", "from 1024 to 49151"),
    ] {
        check(text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn interfaces() {
    for (text, place, message, help) in [
        ("filtered = []", "2:12", "no interface would be filtered", "remove the line"),
        ("exempt = [\"*\"]", "2:11", "no interface would be filtered", "names"),
        ("inside = [\"*\"]", "2:11", "no interface would be filtered", "names"),
        ("crossing = [\"*\"]", "2:13", "no interface would be filtered", "names"),
        ("exempt = [\"wg+\"]", "2:11", "no interface has this character", "\"wg*\""),
        ("exempt = [\"w*g\"]", "2:11", "only stand at the end", "\"w*\""),
        ("filtered = [\"wg0\"]\nexempt = [\"wg0\"]", "2:13", "in `filtered` and in `exempt`", "from one"),
        ("exempt = [\"wg0\"]\ninside = [\"wg0\"]", "3:11", "in `inside` and in `exempt`", "from one"),
        ("inside = [\"lan0\"]\ncrossing = [\"lan0\"]", "3:13", "in `crossing` and in `inside`", "from one"),
        (
            "exempt = [\"wg0\"]\ninside = [\"wg*\"]",
            "3:11",
            "also matches `wg0`, which is in `exempt`",
            "one class",
        ),
        ("inside = [\"br*\"]", "2:11", "also matches `br-*`, which is in `docker`", "one class"),
        ("inside = [\"br-lan\"]", "2:11", "`br-lan` in `inside` is never reached", "`docker` comes first"),
        ("exempt = [\"vmbr*\"]\ncrossing = [\"vmbr0\"]", "3:13", "is never reached", "`exempt` comes first"),
    ] {
        check(&format!("[interfaces]\n{text}"), &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn trusting_everyone() {
    let main = "/etc/dockfw/dockfw.toml";
    for (text, place) in [
        ("trusted = [\"10.0.0.1\", \"0.0.0.0/0\"]", "1:24"),
        ("trusted = [\"::/0\"]", "1:12"),
        ("trusted = [\"all\"]\n[groups]\nall = [\"0.0.0.0/0\"]", "1:12"),
        ("trusted = [\"0.0.0.0-200.0.0.0\", \"100.0.0.0-255.255.255.255\"]", "1:11"),
        ("[swarm]\npeers = [\"::/0\"]", "2:10"),
    ] {
        check(text, &format!("{main}:{place}"), "which is everyone", "--force");
    }
    for (text, place) in [
        ("trusted = [\"0.0.0.0/1\", \"128.0.0.0/1\"]", "1:11"),
        ("trusted = [\"0.0.0.0-126.255.255.255\", \"128.0.0.0-223.255.255.255\"]", "1:11"),
        ("trusted = [\"10.0.0.1\", \"2000::/3\"]", "1:24"),
        ("[swarm]\npeers = [\"8000::/1\", \"0::/1\"]", "2:22"),
    ] {
        check(text, &format!("{main}:{place}"), "which is nearly everyone", "--force");
    }
}

#[test]
fn syntax() {
    for (text, place, message, help) in [
        ("trusted = [10.0.0.1]", "1:1", "quotes has none", "write trusted = [\"10.0.0.1\"]"),
        ("trusted = [\"10.0.0.1\" \"10.0.0.2\"]", "1:1", "can't be read", "\"10.0.0.1\", \"10.0.0.2\""),
        ("blocked = []\ntrusted = [", "2:1", "`]` is missing", "write trusted = []"),
        ("trusted = []\ntrusted = []", "2:1", "duplicate key", "remove this one"),
        ("[log\ndrops = true", "1:1", "a bracket of a table is missing", "write [log]"),
        ("trusted = [\"10.0.0.1\"\n\n[log]\ndrops = true", "1:1", "`]` is missing", "\"10.0.0.1\"]"),
        ("trusted = [\n\"\"\"10.0.0.1\"\"\"]]", "2:16", "not TOML", "here should be newline"),
        ("hello", "1:1", "`=` is missing", "in quotes"),
    ] {
        check(text, &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}

#[test]
fn an_empty_policy() {
    let least = "trusted = [\"203.0.113.7\"]";
    for text in ["", "# nothing\n", "[icmp]\n", "[groups]\n[log]\n"] {
        check(text, "/etc/dockfw/dockfw.toml:1:1", "the policy is empty", least);
    }
}

#[test]
fn several_errors_at_once() {
    let text = "trused = []\nblocked = [\"10.0.0.7/24\", \"oops\"]\n[groups]\na = [\"10.0.0.1/8\", 5]\n[log]\nrate = 1\n";
    let main = |place: &str| format!("/etc/dockfw/dockfw.toml:{place}");
    check_all(&Case {
        files: &[("dockfw.toml", text), ("conf.d/10.toml", "[icmp]\necho = \"x\"\n")],
        errors: &[
            (&main("1:1"), "unknown key `trused`", "`trusted`"),
            (&main("2:12"), "host bits", "10.0.0.0/24"),
            (&main("4:6"), "host bits", "10.0.0.0/8"),
            (&main("4:20"), "must be strings", "in quotes"),
            (&main("6:8"), "must be a text", "10/second"),
            ("/etc/dockfw/conf.d/10.toml:2:8", "can't be `x`", "\"accept\""),
        ],
    });
}

#[test]
fn of_a_file_with_a_syntax_error_nothing_else_is_said() {
    let text = "trused = []\nblocked = [\"10.0.0.7/24, oops]\n[log]\nrate = 1\n[log\n";
    check_all(&Case {
        files: &[("dockfw.toml", text), ("conf.d/10.toml", "[icmp]\necho = \"x\"\n")],
        errors: &[
            (
                "/etc/dockfw/dockfw.toml:2:1",
                "a quote is missing",
                "write blocked = [\"10.0.0.7/24\", \"oops\"]",
            ),
            ("/etc/dockfw/conf.d/10.toml:2:8", "can't be `x`", "\"accept\""),
        ],
    });
}

#[test]
fn scalars_and_groups_of_two_files_name_both_places() {
    let case = Case {
        files: &[
            ("dockfw.toml", "[log]\ndrops = true\n[groups]\noffice = []\n"),
            ("conf.d/20-log.toml", "\n[log]\ndrops = false\n[groups]\noffice = []\n"),
        ],
        errors: &[
            ("/etc/dockfw/conf.d/20-log.toml:3:9", "`log.drops` is set twice", "remove one"),
            ("/etc/dockfw/conf.d/20-log.toml:5:1", "the group `office` is defined twice", "the other place"),
        ],
    };
    check_all(&case);
    let shown = Memory::of(case.files).errors();
    assert!(shown.contains("it is set here first\n --> /etc/dockfw/dockfw.toml:2:9"), "{shown}");
    assert!(shown.contains("the other is here\n --> /etc/dockfw/dockfw.toml:4:1"), "{shown}");
}

#[test]
fn rules_of_two_files_have_two_names() {
    check_all(&Case {
        files: &[("dockfw.toml", RULE), ("conf.d/web.toml", RULE)],
        errors: &[("/etc/dockfw/conf.d/web.toml:2:8", "two rules are called `web`", "its own name")],
    });
}

#[test]
fn errors_beyond_the_first_hundred_are_counted() {
    let shown = Memory::main(format!("trusted = [{}]", "\"10.0.0.1/8\", ".repeat(250))).errors();
    assert_eq!(shown.matches("error: ").count(), 100);
    assert!(shown.ends_with("and 150 more errors"), "{shown}");
}

#[test]
fn interfaces_and_exclusiveness_of_rules() {
    for (keys, place, message, help) in [
        ("in = []", "4:6", "`in` is empty", "in = [\"wg0\"]"),
        ("in = [\"lo\"]", "4:7", "`in` has `lo`", "always passes"),
        ("in = [\"wg 0\"]", "4:7", "no interface has this character", "wg"),
        ("in = \"wg0\"", "4:6", "`in` must be a list of texts", "in = [\"wg0\"]"),
        ("iif = [\"wg0\"]", "4:1", "unknown key `iif`", "did you mean `in`?"),
        ("only = true", "4:8", "`only` needs `from` or `in`", "from = [\"203.0.113.7\"]"),
        ("only = \"yes\"", "4:8", "`only` must be `true` or `false`", "only = true"),
        ("exclusive = true", "4:1", "unknown key `exclusive`", "did you mean `only`?"),
    ] {
        check(&format!("{RULE}{keys}\n"), &format!("/etc/dockfw/dockfw.toml:{place}"), message, help);
    }
}
