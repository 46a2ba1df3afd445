//! `import`: the policies that the old layout's files become, what is said, and what is written where.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::fixture::{CliFixture, Done};
use crate::schema;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/old-layout");

fn fixture(test: &str) -> CliFixture {
    let fixture = CliFixture::new(&format!("import-{test}"));
    for entry in fs::read_dir(FIXTURES).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        fixture.write(path.file_name().unwrap().to_str().unwrap(), fs::read(&path).unwrap());
    }
    fixture
}

fn import(fixture: &CliFixture, arguments: &str) -> Done {
    fixture.dockfw(&[&["import"][..], &arguments.split(' ').collect::<Vec<_>>()].concat())
}

/// What is printed is what lies beside the files; `UPDATE_GOLDEN=1` rewrites that.
#[test]
fn the_old_layouts_files_become_these_policies() {
    let fixture = fixture("golden");
    for (arguments, expected) in [
        ("default.rules default.centos.set", "default.rules.toml"),
        ("default.rules default.ubuntu.set", "default.ubuntu.toml"),
        ("default.yml", "default.yml.toml"),
        ("example.rules example.centos.set", "example.rules.toml"),
        ("example.yml example.ubuntu.set", "example.yml.toml"),
        ("manual.set manual.rules", "manual.toml"),
    ] {
        let done = import(&fixture, arguments);
        done.exits(0);
        let path = Path::new(FIXTURES).join("expected").join(expected);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &done.stdout).unwrap();
        }
        assert_eq!(done.stdout, fs::read_to_string(&path).unwrap_or_default(), "{arguments}");
        fixture.write("dockfw.toml", &done.stdout);
        let checked = fixture.dockfw(&["show"]);
        checked.exits(0);
        assert!(checked.stderr.is_empty(), "{checked}");
    }
}

#[test]
fn both_forms_of_the_set_mean_the_same() {
    let fixture = fixture("forms");
    let policy = |arguments: &str| {
        let done = import(&fixture, arguments);
        let lines = done.exits(0).stdout.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| line.split("  #").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    for name in ["default", "example"] {
        let centos = policy(&format!("{name}.rules {name}.centos.set"));
        assert_eq!(policy(&format!("{name}.rules {name}.ubuntu.set")), centos);
        assert_eq!(policy(&format!("{name}.yml")), centos, "the variables say the same");
    }
}

/// A policy file of what `--json` writes: lists and texts look alike in both.
fn toml(document: &Value) -> String {
    let lines = |table: &Value| {
        let pairs = table.as_object().unwrap().iter();
        pairs.map(|(key, value)| format!("{key} = {value}\n")).collect::<String>()
    };
    let (mut lists, mut tables) = (String::new(), String::new());
    for (key, value) in document.as_object().unwrap() {
        match value.as_array() {
            Some(rules) if key == "allow" => {
                tables.extend(rules.iter().map(|rule| format!("[[allow]]\n{}", lines(rule))));
            }
            Some(_) => lists += &format!("{key} = {value}\n"),
            None => tables += &format!("[{key}]\n{}", lines(value)),
        }
    }
    lists + &tables
}

#[test]
fn json_says_what_the_policy_file_says() {
    let fixture = fixture("json");
    fixture.write(
        "odd.rules",
        "-A FILTERS -m set ! --match-set ip_allow src -j DROP\n-A DOCKER-USER -s 10.6.6.6 -j DROP\n\
        -A DOCKER-USER -i brapp -j RETURN\n-A DOCKER-USER -m set ! --match-set ip_allow src -j DROP\n",
    );
    let schema = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/import.json"));
    let schema = serde_json::from_str(&schema.unwrap()).unwrap();
    let compiled = |policy: &str| {
        fixture.write("dockfw.toml", policy);
        fixture.dockfw(&["show", "--format", "nft"]).exits(0).stdout.clone()
    };
    for arguments in ["default.yml", "example.yml", "manual.rules manual.set", "odd.rules manual.set"] {
        let document = import(&fixture, &format!("--json {arguments}")).exits(0).json();
        assert_eq!(schema::faults(&schema, &document), [""; 0], "{document:#}");
        let policy = import(&fixture, arguments).exits(0).stdout.clone();
        assert_eq!(compiled(&toml(&document)), compiled(&policy), "{document:#}");
    }
}

#[test]
fn what_changes_is_said_and_data_stays_alone_on_stdout() {
    let fixture = fixture("talk");
    let done = import(&fixture, "default.rules default.centos.set");
    done.exits(0).says("note: IPv6 was not filtered").says("172.17.0.0/16, 172.18.0.0/16");
    assert!(
        done.stdout.starts_with("# What the rules before dockfw let in") && !done.stdout.contains("note: "),
        "{done}"
    );
}

#[test]
fn files_that_are_none_of_it_are_refused_with_advice() {
    let fixture = fixture("wrong");
    fixture.write("list", "Name: ip_allow\nType: hash:ip\n");
    fixture.write("junk.set", "create ip_allow hash:ip\r\nadd ip_allow 10.0.0.1\r\nhello\r\n");
    fixture.write("empty", "");
    for (arguments, parts) in [
        ("list", ["list:1: not a kind of file that dockfw can import", "import what `ipset save` prints"]),
        ("empty", ["empty:1: the file is empty", "import one of these"]),
        ("missing", ["can't read missing", ""]),
        (
            "junk.set",
            [
                "junk.set:3: \"hello\" is not a line of a set",
                "to leave out lines that can't be read, add the option: --lenient",
            ],
        ),
        (".", ["can't read .", ""]),
    ] {
        let done = import(&fixture, arguments);
        done.exits(2).is_silent();
        for part in parts {
            done.says(part);
        }
    }
    import(&fixture, "--lenient junk.set")
        .exits(0)
        .prints("\"10.0.0.1\",  # junk.set:2")
        .says("left out junk.set:3");
    fixture.dockfw(&["import"]).exits(2).says("FILE");
    fixture.dockfw(&["import", "--live", "x"]).exits(2).says("--live");
}

#[test]
fn sixty_thousand_entries_are_written_as_a_list_beside_the_policy() {
    let fixture = fixture("many");
    let entries = (0..60_000_u32)
        .map(|n| format!("add ip_allow {}\r\n", std::net::Ipv4Addr::from(0x0b00_0000 + n * 2)));
    fixture.write("many.set", format!("create -exist ip_allow hash:ip\r\n{}", entries.collect::<String>()));
    let done = import(&fixture, "--output new/etc default.rules many.set");
    done.exits(0).is_silent().says("wrote new/etc/lists/trusted.txt").says("wrote new/etc/dockfw.toml");
    let mode = fs::metadata(fixture.0.join("new/etc/dockfw.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let list = fs::read_to_string(fixture.0.join("new/etc/lists/trusted.txt")).unwrap();
    assert_eq!(list.lines().count(), 60_000);
    for name in ["dockfw.toml", "lists/trusted.txt"] {
        fixture.write(name, fs::read(fixture.0.join("new/etc").join(name)).unwrap());
    }
    fixture.dockfw(&["show", "--format", "json"]).exits(0).prints("11.1.212.190");
    // Once more: what is there is not overwritten, and nothing else is written.
    fs::remove_file(fixture.0.join("new/etc/dockfw.toml")).unwrap();
    let again = import(&fixture, "--output new/etc default.rules many.set");
    again.exits(1).says("new/etc/lists/trusted.txt exists already; nothing was written");
    assert!(!fixture.0.join("new/etc/dockfw.toml").exists());
}

#[test]
#[ignore = "needs root"]
fn the_rules_of_this_host_are_imported_with_live() {
    for variant in ["legacy", "nft"] {
        let fixture = CliFixture::new(&format!("import-live-{variant}"));
        let script = format!(
            "fails dockfw import --live
             ipset restore <{FIXTURES}/example.ubuntu.set
             ipset create f2b hash:ip
             iptables-{variant} -N DOCKER-USER
             iptables-{variant}-restore --noflush <{FIXTURES}/example.rules
             iptables-{variant} -I INPUT -j FILTERS
             iptables-{variant} -A INPUT -s 192.0.2.66 -j DROP
             dockfw import --live | sed 's/  #.*//; /^#/d' >live
             dockfw import {FIXTURES}/example.rules {FIXTURES}/example.centos.set | sed 's/  #.*//; /^#/d' >files
             sort live >live.sorted; sort files >files.sorted
             cmp live.sorted files.sorted
             dockfw import --live | grep -c '# iptables-{variant}-save:'"
        );
        let done = fixture.script(&script);
        done.exits(0)
            .says("no rule of this host uses a set")
            .says("the set \"f2b\" is not asked by the old layout");
    }
}
