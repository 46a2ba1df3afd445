//! Policies with one mistake each get one answer, which names the place, the cause and a fix. Applied as printed, the fix
//! makes the policy load.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)]

mod common;

use common::Memory;
use dockfw_policy::Strictness;

/// A policy without a mistake, of which the others differ in one line.
const GOOD: &str = r#"trusted = ["203.0.113.7", "office"]
blocked = ["198.51.100.0/24"]

[groups]
office = ["192.0.2.0/24"]

[[allow]]
name = "web"
ports = ["80/tcp", "443/tcp"]

[[allow]]
name = "ssh"
from = ["office"]
ports = ["22/tcp"]
to = "host"

[interfaces]
exempt = ["wg0"]

[icmp]
echo = "accept"

[log]
drops = true
rate = "10/second"

[swarm]
data_path_port = 4789

[engine]
backend = "auto"
"#;

/// What a line becomes, the number of the line at which the mistake is reported, and a part of the message.
type Altered<'a> = (&'a str, &'a str, usize, &'a str);

const TRUSTED: &str = "trusted = [\"203.0.113.7\", \"office\"]";
const OFFICE: &str = "office = [\"192.0.2.0/24\"]";
const WEB: &str = "ports = [\"80/tcp\", \"443/tcp\"]";
const SSH: &str = "ports = [\"22/tcp\"]";
const FROM: &str = "from = [\"office\"]";
const EXEMPT: &str = "exempt = [\"wg0\"]";

#[test]
fn quotes_brackets_and_commas() {
    all(&[
        (TRUSTED, "trusted = [203.0.113.7]", 1, "quotes"),
        (TRUSTED, "trusted = 203.0.113.7", 1, "quotes"),
        (TRUSTED, "trusted = [2001:db8::1, office]", 1, "quotes"),
        (TRUSTED, "trusted = [\"203.0.113.7, \"office\"]", 1, "a quote is missing"),
        (TRUSTED, "trusted = [\"203.0.113.7\", \"office]", 1, "a quote is missing"),
        (TRUSTED, "trusted = [203.0.113.7\", \"office\"]", 1, "a quote is missing"),
        (TRUSTED, "trusted = [\u{201c}203.0.113.7\u{201d}]", 1, "straight"),
        (TRUSTED, "trusted = [`203.0.113.7`]", 1, "straight"),
        (TRUSTED, "trusted = [\"203.0.113.7\", \"office\"", 1, "`]` is missing"),
        (TRUSTED, "trusted = [\n  \"203.0.113.7\",\n  \"office\",", 3, "`]` is missing"),
        (TRUSTED, "trusted = [\n  \"203.0.113.7\"\n  \"office\",\n]", 2, "a comma is missing"),
        (TRUSTED, "trusted = [\n  \"203.0.113.7\",\n  \"office,\n]", 3, "a quote is missing"),
        (TRUSTED, "trusted = \"203.0.113.7\", \"office\"]", 1, "`[` is missing"),
        (TRUSTED, "trusted = [\"203.0.113.7\" \"office\"]", 1, "can't be read"),
        (TRUSTED, "trusted = (\"203.0.113.7\")", 1, "can't be read"),
        (TRUSTED, "trusted: [\"203.0.113.7\"]", 1, "`=` is missing"),
        (TRUSTED, "trusted [\"203.0.113.7\"]", 1, "`=` is missing"),
        (TRUSTED, "trusted == [\"203.0.113.7\"]", 1, "can't be read"),
        (TRUSTED, "trusted =", 1, "a value is missing"),
        (TRUSTED, "trusted = [\"203.0.113.7\"];", 1, "can't be read"),
        (TRUSTED, "// who may\ntrusted = [\"203.0.113.7\"]", 1, "a comment begins with #"),
        (TRUSTED, "; who may\ntrusted = [\"203.0.113.7\"]", 1, "a comment begins with #"),
        (WEB, "ports = [80/tcp, 443/tcp]", 9, "quotes"),
        (WEB, "ports = 80/tcp", 9, "quotes"),
        (WEB, "ports = [\"80/tcp\", \"443/tcp\"", 9, "`]` is missing"),
        ("name = \"web\"", "name = web", 8, "quotes"),
        ("name = \"web\"", "name = \"web", 8, "a quote is missing"),
        ("name = \"web\"", "name = \"web\" from = [\"office\"]", 8, "can't be read"),
        ("to = \"host\"", "to = host", 15, "quotes"),
        (OFFICE, "my office = [\"192.0.2.1\"]\noffice = []", 5, "can't be read"),
        (OFFICE, "office = [\"192.0.2.0/24]", 5, "a quote is missing"),
        (OFFICE, "office = [\"192.0.2.0/24\"], home = [\"192.0.2.9\"]", 5, "can't be read"),
        ("drops = true", "drops = True", 24, "can't be read"),
        ("drops = true", "drops = yes", 24, "can't be read"),
    ]);
}

#[test]
fn tables() {
    all(&[
        ("[[allow]]\nname = \"web\"", "[allow]\nname = \"web\"", 7, "double brackets"),
        ("[[allow]]", "[allow]", 7, "double brackets"),
        ("[[allow]]\nname = \"web\"", "[[allow]\nname = \"web\"", 7, "a bracket of a table is missing"),
        ("[[allow]]\nname = \"web\"", "[allow]]\nname = \"web\"", 7, "a bracket of a table is missing"),
        ("[groups]", "[groups", 4, "a bracket of a table is missing"),
        ("[log]", "log]", 23, "a bracket of a table is missing"),
        ("[log]", "[[log]]", 23, "must be a table"),
        ("[icmp]\necho", "[icmp]\n[icmp]\necho", 21, "duplicate key"),
        ("[interfaces]", "[iterfaces]", 17, "has no table `iterfaces`"),
        ("[log]", "[logging]", 23, "has no table `logging`"),
        ("[groups]", "[group]", 4, "has no table `group`"),
        ("[[allow]]\nname = \"web\"", "[[allows]]\nname = \"web\"", 7, "has no table `allows`"),
        ("[[allow]]\nname = \"ssh\"", "[[rule]]\nname = \"ssh\"", 11, "has no table `rule`"),
        ("[log]\ndrops = true\nrate = \"10/second\"\n", "[firewall]\n", 23, "has no table `firewall`"),
        (TRUSTED, "trusted = []\ntrusted = [\"203.0.113.7\"]", 2, "duplicate key"),
    ]);
}

#[test]
fn keys() {
    all(&[
        (TRUSTED, "trused = [\"203.0.113.7\"]", 1, "unknown key `trused`"),
        (TRUSTED, "whitelist = [\"203.0.113.7\"]", 1, "unknown key `whitelist`"),
        (TRUSTED, "docker = [\"docker0\"]", 1, "unknown key `docker`"),
        ("to = \"host\"", "trust = \"host\"", 15, "unknown key `trust`"),
        ("to = \"host\"", "action = \"accept\"", 15, "unknown key `action`"),
        ("to = \"host\"", "to = \"host\"\nprefilter = true", 16, "unknown key `prefilter`"),
        (FROM, "source = [\"office\"]", 13, "unknown key `source`"),
        (WEB, "port = [\"80/tcp\"]", 9, "unknown key `port`"),
        (WEB, "", 7, "has no `ports`"),
        ("name = \"ssh\"\n", "", 11, "has no `name`"),
        ("name = \"ssh\"", "name = \"web\"", 12, "two rules are called `web`"),
        ("name = \"ssh\"", "name = \"\"", 12, "a name has 1 to 64 characters"),
        ("name = \"ssh\"", "name = 'the \"ssh\"'", 12, "a name can't have"),
    ]);
}

#[test]
fn types() {
    all(&[
        (TRUSTED, "trusted = \"203.0.113.7\"", 1, "must be a list"),
        (TRUSTED, "trusted = \"203.0.113.7, office\"", 1, "must be a list"),
        ("to = \"host\"", "to = [\"host\"]", 15, "must be a text"),
        ("drops = true", "drops = \"true\"", 24, "must be `true` or `false`"),
        ("drops = true", "drops = \"on\"", 24, "must be `true` or `false`"),
        ("drops = true", "drops = 1", 24, "must be `true` or `false`"),
        ("data_path_port = 4789", "data_path_port = \"4789\"", 28, "must be a whole number"),
        ("data_path_port = 4789", "data_path_port = 80", 28, "data path port"),
        ("rate = \"10/second\"", "rate = 10", 25, "must be a text"),
        ("rate = \"10/second\"", "rate = \"10/s\"", 25, "is not a rate"),
    ]);
}

#[test]
fn ports() {
    let port = |typed: &str| format!("ports = [{typed}]");
    for (typed, cause) in [
        ("22", "needs its protocol"),
        ("\"22\"", "needs its protocol"),
        ("\"22/TCP\"", "Docker's notation"),
        ("\"22/tpc\"", "not a protocol"),
        ("\"tcp/22\"", "Docker's notation"),
        ("\"22 tcp\"", "Docker's notation"),
        ("\" 22/tcp\"", "Docker's notation"),
        ("\"22,80/tcp\"", "Docker's notation"),
        ("\"8080:80\"", "two ports and a colon"),
        ("\"127.0.0.1:8080:80\"", "two ports and a colon"),
        ("\"8000:8010/tcp\"", "two ports and a colon"),
        ("\"8000 - 8010/tcp\"", "Docker's notation"),
        ("\"8010-8000/tcp\"", "ends before it starts"),
        ("\"any\"", "every port"),
        ("\"*\"", "every port"),
        ("\"tcp\"", "every port"),
        ("\"0-65535/tcp\"", "every port"),
        ("\"http\"", "Docker's notation"),
        ("\"HTTPS/tcp\"", "Docker's notation"),
        ("\"nginx\"", "a name; a port is a number"),
        ("\"my_app:80\"", "a name; a port is a number"),
        ("\"70000/tcp\"", "from 1 to 65535"),
        ("\"icmp\"", "not a protocol"),
        ("\"ip/6\"", "has ports"),
        ("", "`ports` is empty"),
    ] {
        all(&[(SSH, &port(typed), 14, cause)]);
    }
}

#[test]
fn addresses() {
    for (typed, cause) in [
        ("192.0.2.7/24", "host bits"),
        ("192.0.2.0/33", "prefix length"),
        ("192.0.2.9-192.0.2.1", "ends before it starts"),
        ("192.0.2.1 2001:db8::1", "not an address"),
        ("192.0.2.1, 192.0.2.2", "not an address"),
        ("192.0.2.1:22", "not an address"),
        ("[2001:db8::1]:22", "not an address"),
        ("192.0.2.*", "not an address"),
        ("192.0.2", "not an address"),
        ("192.0.2.300", "not an address"),
        ("::ffff:192.0.2.1", "IPv4-mapped"),
        ("192.0.2.01", "leading zeros"),
        ("any", "no address and no group"),
        ("*", "no address and no group"),
        ("office.example.com", "host names are not looked up"),
        ("nginx", "there is no group"),
    ] {
        let listed = format!("office = [\"{typed}\"]");
        all(&[(OFFICE, &listed, 5, cause)]);
        all(&[(FROM, &format!("from = [\"{typed}\"]"), 13, cause)]);
    }
    all(&[
        (FROM, "from = [\"ofice\"]", 13, "there is no group"),
        (FROM, "from = [\"container\"]", 13, "there is no group"),
        (FROM, "from = []", 13, "`from` is empty"),
        (TRUSTED, "trusted = [\"0.0.0.0/0\", \"office\"]", 1, "everyone"),
        (TRUSTED, "trusted = [\"containers\", \"office\"]", 1, "is not allowed in `trusted`"),
        (OFFICE, "office = [\"ofice\"]", 5, "there is no group"),
        (OFFICE, "office = [\"office\"]", 5, "circle"),
        (OFFICE, "containers = []\noffice = []", 5, "built in"),
    ]);
}

#[test]
fn single_words_and_interfaces() {
    all(&[
        ("to = \"host\"", "to = \"dockr\"", 15, "can't be `dockr`"),
        ("to = \"host\"", "to = \"any\"", 15, "can't be `any`"),
        ("to = \"host\"", "to = \"nginx\"", 15, "can't be `nginx`"),
        ("echo = \"accept\"", "echo = \"drop\"", 21, "can't be `drop`"),
        ("backend = \"auto\"", "backend = \"nft\"", 31, "can't be `nft`"),
        (EXEMPT, "exempt = [\"wg+\"]", 18, "no interface has this character"),
        (EXEMPT, "exempt = [\"w*g\"]", 18, "only stand at the end"),
        (EXEMPT, "exempt = [\"wg0, wg1\"]", 18, "no interface has this character"),
        (EXEMPT, "exempt = [\"a-name-that-is-too-long\"]", 18, "at most 15 bytes"),
        (EXEMPT, "exempt = [\"*\"]", 18, "no interface would be filtered"),
        (EXEMPT, "exempt = [\"wg0\"]\ninside = [\"wg0\"]", 19, "in `inside` and in `exempt`"),
        (EXEMPT, "exempt = [\"wg0\"]\ninside = [\"wg*\"]", 19, "also matches"),
    ]);
}

/// The tables are named as they are written, and a table that stands for a key of another one with that one.
#[test]
fn unknown_tables_are_answered_with_those_there_are() {
    for header in ["[firewall]", "[[firewall]]", "[ports]"] {
        let shown = answer(&format!("{header}\nenabled = true\n"));
        assert!(shown.contains("the tables of a policy: [groups], [[allow]], [interfaces],"), "{shown}");
    }
    let shown = answer("[docker]\nbridges = []\n");
    assert!(shown.contains("did you mean `interfaces.docker`?"), "{shown}");
}

#[test]
fn three_rules_in_single_brackets_get_one_answer() {
    let rules = "[allow]\nname = \"a\"\nports = [\"80/tcp\"]\n".repeat(3).replacen("\"a\"", "\"b\"", 1);
    let rules = rules.replacen("\"a\"", "\"c\"", 1);
    let shown = answer(&rules);
    assert!(shown.contains("write [[allow]] here and in lines 4 and 7"), "{shown}");
    Memory::main(applied(&rules, &shown)).policy();
}

#[test]
fn a_header_that_is_no_tables_names_the_tables() {
    for header in ["[", "[[", "[ports", "[the rules]"] {
        let shown = answer(&GOOD.replacen("[log]", header, 1));
        assert!(
            shown.contains("dockfw.toml:23:1") && shown.contains("[[allow]], [interfaces], [icmp]"),
            "{shown}"
        );
    }
}

#[test]
fn the_policys_own_lists_are_no_groups() {
    for list in ["trusted = [\"192.0.2.7\"]", "blocked = [\"192.0.2.7\"]"] {
        let shown = answer(&format!("[groups]\noffice = []\n{list}\n"));
        assert!(shown.contains("dockfw.toml:3:1: ") || shown.contains("dockfw.toml:3:1\n"), "{shown}");
        assert!(shown.contains("below [groups] is a group"), "{shown}");
        assert!(shown.contains("move it above the first [...]"), "{shown}");
        Memory::main(format!("{list}\n[groups]\noffice = []\n")).policy();
    }
}

/// Once it could be one, and what was confirmed then still loads.
#[test]
fn a_confirmed_group_of_such_a_name_is_warned_of() {
    let memory = Memory::main("[groups]\ntrusted = [\"192.0.2.7\"]\n");
    let loaded = memory.load_with(Strictness::Confirmed).unwrap();
    assert!(loaded.warnings.render(false).contains("below [groups] is a group"));
}

#[test]
fn a_host_name_is_not_taken_for_the_group_that_it_stands_in() {
    for name in ["office.example.com", "ofice"] {
        let shown = answer(&GOOD.replacen(OFFICE, &format!("office = [\"{name}\"]"), 1));
        assert!(!shown.contains("did you mean"), "{shown}");
    }
}

fn all(cases: &[Altered<'_>]) {
    assert!(Memory::main(GOOD).load().is_ok());
    for (line, altered, place, cause) in cases {
        assert!(GOOD.contains(line), "{line}");
        let text = GOOD.replacen(line, altered, 1);
        let shown = answer(&text);
        assert!(
            shown.contains(&format!("dockfw.toml:{place}:")),
            "line {place} is not named for {altered}\n{shown}"
        );
        assert!(shown.lines().next().unwrap().contains(cause), "{cause:?} is not said of {altered}\n{shown}");
        let repaired = applied(&text, &shown);
        if let Err(rejected) = Memory::main(&repaired).load() {
            panic!("{altered} became\n{repaired}\nby\n{shown}\nand that is\n{rejected}");
        }
    }
}

/// The one answer to a policy.
fn answer(text: &str) -> String {
    let rejected = Memory::main(text).load().err().unwrap_or_else(|| panic!("this loads:\n{text}"));
    assert_eq!(rejected.errors.diagnostics().len(), 1, "{rejected}");
    rejected.errors.render(false)
}

/// The place, and the fix, of an answer, read from what is printed.
struct Answer {
    line: usize,
    start: usize,
    length: usize,
    help: String,
}

impl Answer {
    fn read(shown: &str) -> Self {
        let place = shown.lines().find_map(|line| line.split_once("dockfw.toml:")).unwrap().1;
        let (line, column) = place.split_once(':').unwrap();
        let marks = shown.lines().filter_map(|line| line.split_once("| ")).map(|(_, marked)| marked);
        let length = marks.filter(|marked| marked.trim_start().starts_with('^'));
        let length = length.map(|marked| marked.matches('^').count()).next().unwrap_or(0);
        let (_, help) = shown.split_once("help: ").unwrap();
        let help =
            help.split("\nnote: ").next().unwrap().lines().map(str::trim).collect::<Vec<_>>().join("\n");
        Self {
            line: line.parse::<usize>().unwrap() - 1,
            start: column.parse::<usize>().unwrap() - 1,
            length,
            help: help.trim().into(),
        }
    }
}

/// A policy after the fix that is printed. A fix begins with the verb: to write something instead of what is marked, or
/// to add, move or remove it.
fn applied(text: &str, shown: &str) -> String {
    let Answer { line, start, length, help } = Answer::read(shown);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let marked = |lines: &[String]| -> String { lines[line].chars().skip(start).take(length).collect() };
    let instead = |lines: &mut [String], right: &str| {
        let (before, after): (String, String) =
            (lines[line].chars().take(start).collect(), lines[line].chars().skip(start + length).collect());
        lines[line] = format!("{before}{right}{after}");
    };
    if let Some((_, rest)) = help.split_once("write [[allow]] here and in line") {
        let others =
            rest.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<usize>().ok());
        for number in others.map(|number| number - 1).chain([line]) {
            lines[number] = "[[allow]]".into();
        }
    } else if let Some((_, added)) = help.split_once("remove it, and write at the end of the file:\n") {
        lines.remove(line);
        lines.push(added.into());
    } else if let Some(added) = help.strip_prefix("add a line as ") {
        lines.insert(line + 1, added.into());
    } else if help.starts_with("move it above the first [...]") {
        let moved = lines.remove(line);
        lines.insert(0, moved);
    } else if let Some(rest) = help.strip_prefix("move it below [") {
        let header = format!("[{}]", rest.split(']').next().unwrap());
        let moved = lines.remove(line);
        let header = lines.iter().position(|line| *line == header).unwrap();
        lines.insert(header + 1, moved);
    } else if let Some(rest) = help.strip_prefix("did you mean ") {
        let right = rest.split(['?']).next().unwrap();
        let bare = right.trim_matches('`');
        let right = if marked(&lines).starts_with('"') {
            format!("\"{}\"", bare.trim_matches('"'))
        } else {
            bare.into()
        };
        instead(&mut lines, &right);
    } else if let Some(right) = written(&help) {
        let assigns = right.split_once(" = ").is_some_and(|(name, _)| !name.starts_with('"'));
        match assigns && !marked(&lines).contains('=') {
            true => lines[line] = right,
            false => instead(&mut lines, &right),
        }
    } else {
        assert!(help.starts_with("remove "), "no fix in {shown}");
        let marked = marked(&lines);
        remove(&mut lines, line, &marked);
    }
    lines.join("\n") + "\n"
}

/// What a help says to write: a string or several, a line, or lines.
fn written(help: &str) -> Option<String> {
    if let Some((_, example)) = help.split_once("as in ").filter(|(before, _)| !before.contains("remove")) {
        return Some(first_value(example));
    }
    let rest = help.strip_prefix("write")?;
    if let Some(lines) = rest.strip_prefix(":\n") {
        return Some(lines.into());
    }
    for words in [" it in brackets: ", " it without quotes: ", " it without brackets: "] {
        if let Some(line) = rest.strip_prefix(words) {
            return Some(line.into());
        }
    }
    Some(first_value(rest.trim_start()))
}

/// The strings that a text begins with, or the value or line, without the words behind it.
fn first_value(text: &str) -> String {
    if text.starts_with('"') && !text.contains("\" = ") {
        let mut end = 0;
        for (index, part) in text.split(", ").enumerate() {
            let is_string = part.starts_with('"') && part.len() > 1;
            let Some(close) = part.get(1..).and_then(|rest| rest.find('"')).filter(|_| is_string) else {
                break;
            };
            end += close + 2 + if index > 0 { 2 } else { 0 };
            if part.len() > close + 2 {
                break;
            }
        }
        let rest = &text[end..];
        return if matches!(rest, "," | "]") { text.into() } else { text[..end].into() };
    }
    let end = [", or ", " with single", ", which", "; "].iter().filter_map(|words| text.find(words)).min();
    text[..end.unwrap_or(text.len())].into()
}

/// Removes an entry of a list, or the line if it is more than that.
fn remove(lines: &mut Vec<String>, line: usize, marked: &str) {
    let is_entry = marked.starts_with('"') && lines[line].contains('[') && !lines[line].starts_with("from");
    match is_entry {
        true => lines[line] = lines[line].replacen(&format!("{marked}, "), "", 1).replacen(marked, "", 1),
        false => _ = lines.remove(line),
    }
}
