//! Single rules of others that are live: to be shown beside a verdict of dockfw's, and never to decide one.

use std::net::IpAddr;

use dockfw_policy::address::Family;
use serde_json::Value;

use super::{docker, saved};

/// Whether the policy of iptables' FORWARD is DROP, or nothing where that can't be read.
pub(crate) fn forward_drops(family: Family) -> Option<bool> {
    policy_of_forward(&saved(family)?)
}

/// Whether Docker drops all that is sent straight to a container's address, or nothing where that can't be read.
pub(crate) fn direct_is_dropped(address: IpAddr) -> Option<bool> {
    let family = if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let by_iptables = saved(family).map(|text| is_dropped_in_raw(&text, address));
    let by_nftables =
        raw_of_dockers_own_table(family).map(|listing| is_dropped_in_listing(&listing, address));
    match (by_iptables, by_nftables) {
        (None, None) => None,
        (by_iptables, by_nftables) => Some(by_iptables == Some(true) || by_nftables == Some(true)),
    }
}

/// Where there is no table filter, nothing can be read.
fn saved(family: Family) -> Option<String> {
    saved::where_docker_looks(family).filter(|text| text.contains("*filter"))
}

fn table<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("*{name}");
    text.lines().skip_while(move |line| *line != start).take_while(|line| *line != "COMMIT")
}

fn policy_of_forward(text: &str) -> Option<bool> {
    let policy = table(text, "filter").find_map(|line| line.strip_prefix(":FORWARD "))?;
    Some(policy.starts_with("DROP"))
}

fn is_dropped_in_raw(text: &str, address: IpAddr) -> bool {
    let width = if address.is_ipv4() { 32 } else { 128 };
    let start = format!("-A PREROUTING -d {address}/{width} ! -i ");
    table(text, "raw").any(|line| line.starts_with(&start) && line.ends_with(" -j DROP"))
}

fn raw_of_dockers_own_table(family: Family) -> Option<Value> {
    serde_json::from_str(&docker::chain(family, "raw-PREROUTING")?).ok()
}

fn is_dropped_in_listing(listing: &Value, address: IpAddr) -> bool {
    let entries = listing.get("nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rules = entries.iter().filter_map(|entry| entry.pointer("/rule/expr")?.as_array());
    let is_address = |part: &Value| {
        part.pointer("/match/left/payload/field").is_some_and(|field| field == "daddr")
            && part.pointer("/match/right").is_some_and(|right| *right == address.to_string())
    };
    let mut rules = rules.map(Vec::as_slice);
    rules.any(|rule| rule.iter().any(is_address) && rule.iter().any(|part| part.get("drop").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\nCOMMIT\n\
                         *filter\n:FORWARD DROP [1:2]\n-A PREROUTING -d 172.17.0.3/32 ! -i x -j DROP\nCOMMIT\n";

    #[test]
    fn a_saved_ruleset_tells_its_policy_and_its_raw_drops() {
        assert_eq!(policy_of_forward(SAVED), Some(true));
        assert_eq!(policy_of_forward(&SAVED.replace("DROP [", "ACCEPT [")), Some(false));
        assert_eq!(policy_of_forward("*raw\n:FORWARD DROP [0:0]\nCOMMIT\n"), None);
        assert!(is_dropped_in_raw(SAVED, [172, 17, 0, 2].into()));
        assert!(!is_dropped_in_raw(SAVED, [172, 17, 0, 20].into()));
        assert!(!is_dropped_in_raw(SAVED, [172, 17, 0, 3].into()), "of another table");
    }

    #[test]
    fn a_listing_of_dockers_own_table_tells_its_drops() {
        let listing = serde_json::json!({"nftables": [{"metainfo": {}}, {"rule": {"expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "daddr"}}, "right": "172.17.0.2"}},
            {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "docker0"}},
            {"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}}]});
        assert!(is_dropped_in_listing(&listing, [172, 17, 0, 2].into()));
        assert!(!is_dropped_in_listing(&listing, [172, 17, 0, 3].into()));
        assert!(!is_dropped_in_listing(&Value::Null, [172, 17, 0, 2].into()));
    }
}
