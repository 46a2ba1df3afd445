//! Where translations of destinations lead.

use std::net::IpAddr;

use dockfw_policy::walk::Translation;

use super::{Verdict, View};

/// Returns what becomes of a packet whose destination is translated to one of these addresses and ports, from the first
/// to the last. The kernel chooses which: those between the ends are represented by one of unknown value.
pub(super) fn between(addresses: [IpAddr; 2], ports: [u16; 2]) -> Vec<Verdict> {
    let pairs = addresses.into_iter().flat_map(|address| ports.map(|port| Translation { address, port }));
    let mut verdicts: Vec<_> = Vec::new();
    for verdict in pairs.map(Verdict::Translate) {
        if !verdicts.contains(&verdict) {
            verdicts.push(verdict);
        }
    }
    let [first, last] = addresses.map(number);
    let are_more = last.abs_diff(first) > 1 || ports[1].abs_diff(ports[0]) > 1;
    verdicts.extend(are_more.then_some(Verdict::TranslateSomewhere));
    verdicts
}

/// Returns what becomes of a packet that is redirected to one of these ports, or to the one that it has. It reaches the
/// interface's own address (`nf_nat_redirect_ipv4` and `nf_nat_redirect_ipv6`, net/netfilter/nf_nat_redirect.c).
pub(super) fn redirected(view: &View<'_>, ports: Option<[u16; 2]>) -> Vec<Verdict> {
    let dialled = view.destination();
    let own = || view.packet.incoming.addresses.iter().copied();
    let first = own().find(|address| address.is_ipv4() == dialled.is_ipv4());
    // Since Linux 6.7, a link-local address is redirected to another link-local one.
    let same = own().find(|address| is_link_local(*address)).filter(|_| is_link_local(dialled));
    match first {
        None => vec![Verdict::Drop],
        Some(first) => {
            let to = |address| between([address; 2], ports.unwrap_or([view.port().unwrap_or_default(); 2]));
            let others = same.filter(|same| *same != first).map(to);
            to(first).into_iter().chain(others.into_iter().flatten()).collect()
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
