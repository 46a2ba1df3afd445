//! What iptables writes down of its rules, as text.

use dockfw_policy::address::Family;

use super::programs::said;

/// The programs that write rules down, in either variant. None of them is told a table, which would create it.
const SAVERS: [(&str, Family); 6] = [
    ("iptables-save", Family::Ipv4),
    ("ip6tables-save", Family::Ipv6),
    ("iptables-nft-save", Family::Ipv4),
    ("ip6tables-nft-save", Family::Ipv6),
    ("iptables-legacy-save", Family::Ipv4),
    ("ip6tables-legacy-save", Family::Ipv6),
];

/// All rules of every variant that is there; those of the one that Docker finds come twice.
pub(super) fn everywhere() -> impl Iterator<Item = (Family, String)> {
    SAVERS.into_iter().filter_map(|(program, family)| Some((family, said(program, &[])?)))
}

/// All rules of a family, by the iptables that Docker finds as well.
pub(super) fn where_docker_looks(family: Family) -> Option<String> {
    let (program, _) = SAVERS.iter().find(|(_, own)| *own == family)?;
    said(program, &[])
}
