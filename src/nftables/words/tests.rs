use std::path::Path;
use std::sync::{Arc, Mutex};

use dockfw_policy::compile::compile;
use dockfw_policy::nft::{Features, Table, lower};
use dockfw_policy::{Strictness, load};
use proptest::prelude::*;

use super::*;
use crate::files::Disk;
use crate::filters::nf_tables::read_tables;
use crate::nftables::tests::{in_namespace, nft_with};
use crate::nftables::wanted::Wanted;

fn golden_table(case: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case).join("dockfw.toml");
    let options = Strictness::Forced;
    let loaded = load(&path, &Disk, options).unwrap_or_else(|rejected| panic!("{rejected}"));
    lower(&compile(&loaded.policy), Features::ALL)
}

#[test]
fn all_that_dockfw_writes_reads_as_it_is_shown() {
    for case in ["awkward-names", "container-ports", "edges", "everything", "protocols", "swarm"] {
        let table = golden_table(case);
        let wanted = Wanted::new(&table).unwrap();
        for (chain, shown) in wanted.chains.iter().zip(&table.chains) {
            for (rule, shown) in chain.rules.iter().zip(&shown.rules) {
                assert_eq!(of_rule(rule.expressions(), Some(&rule.comment)), shown.to_string(), "{case}");
            }
        }
    }
}

#[test]
fn control_characters_are_escaped() {
    assert_eq!(of_rule(b"", Some("a\u{1b}[31mb")), "comment \"a\\u{1b}[31mb\"");
}

/// Returns what the kernel has of a rule that nft is given, in words.
fn in_words(family: &str, objects: &str, rule: &str) -> String {
    let input = format!("table {family} t {{ {objects}\nchain c {{ {rule}\n}}\n}}");
    let said = Arc::new(Mutex::new(String::new()));
    let there = Arc::clone(&said);
    in_namespace(move || {
        nft_with(&["-f", "-"], &input);
        let tables = read_tables(|_| true).unwrap();
        let chain = &tables.first().unwrap().chains["c"];
        *there.lock().unwrap() = chain.rules.first().unwrap().to_string();
    });
    said.lock().unwrap().clone()
}

#[test]
#[ignore = "needs root"]
fn rules_of_others_keep_their_masks_and_kinds() {
    let plain = [
        "ip saddr != 10.0.0.0/8 drop",
        "ip saddr != 10.32.0.0/11 drop",
        "ip saddr 10.32.0.0/11 drop",
        "ip daddr & 255.0.255.0 != 10.0.1.0 drop",
        "ip daddr & 255.0.255.0 == 10.0.1.0 drop",
        "meta mark & 0x000000ff != 0x00000001 drop",
        "meta mark & 0x000000ff == 0x00000001 drop",
        "ct mark 0x00000010 accept",
        "meta mark & 0x0000ff00 @marks drop",
        "meta mark set 0x00000007",
        "ct state ! established,related drop",
        "ct state established,related accept",
        "tcp flags & (fin | syn) == 0x0 drop",
        "tcp dport >= 1024 drop",
        "tcp dport < 1024 drop",
        "tcp dport 1000-2000 drop",
        "limit rate over 5/second drop",
        "ip saddr . tcp dport @pairs drop",
        "ip saddr @bans tcp dport 22 drop",
        "counter name \"hits\" drop",
        "quota name \"much\" drop",
        "limit name \"few\" drop",
        "ct helper set \"ftp\"",
        "log drop",
    ];
    let objects = "set marks { type mark; elements = { 0x100 } }
        set pairs { type ipv4_addr . inet_service; elements = { 192.0.2.1 . 80 } }
        set bans { type ipv4_addr; elements = { 192.0.2.1 } }
        counter hits {}\nquota much { 1 mbytes }\nlimit few { rate 1/second }
        ct helper ftp { type \"ftp\" protocol tcp; }";
    assert_eq!(plain.map(|rule| in_words("ip", objects, rule)), plain);
    assert_eq!(in_words("ip6", "", "ip6 saddr != fd00::/9 drop"), "ip6 saddr != fd00::/9 drop");
    let map = "map rates { type ipv4_addr : counter; }";
    assert_eq!(
        in_words("ip", map, "counter name ip saddr map @rates drop"),
        "[objref] ip saddr map @rates drop"
    );
    let map = "map to { type ipv4_addr . inet_service : verdict; elements = { 192.0.2.1 . 80 : drop } }";
    assert_eq!(in_words("ip", map, "ip daddr . tcp dport vmap @to"), "ip daddr . tcp dport vmap @to");
}

#[test]
#[ignore = "needs root"]
fn addresses_of_both_families_that_rules_lead_to_are_told() {
    let chain = "tcp dport 80 dnat to ";
    assert_eq!(nat_in_words("ip", &format!("{chain}10.0.0.1:8080")), "tcp dport 80 dnat to 10.0.0.1:8080");
    assert_eq!(nat_in_words("ip6", &format!("{chain}[fd00::1]:8080")), "tcp dport 80 dnat to [fd00::1]:8080");
}

fn nat_in_words(family: &str, rule: &str) -> String {
    in_words(family, "", &format!("type nat hook prerouting priority -100; {rule}"))
}

proptest! {
    #[test]
    fn no_expressions_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
        of_rule(&bytes, None);
    }
}
