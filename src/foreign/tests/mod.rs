//! Rules of others, and packets that meet them.

mod by_iptables;
mod by_nft;

use std::net::{IpAddr, SocketAddr};

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;
use dockfw_policy::walk::Payload;

use super::{Answer, Arrival, Host, Packet, Tables};
use crate::host::links::Link;
use crate::host::routes::AddressType;

/// The interfaces: the outside, a bridge of Docker's, another one, each with its addresses.
const LINKS: [(u32, &str, &[&str]); 3] = [
    (2, "eth0", &["192.0.2.1", "192.0.2.2", "2001:db8::1", "fe80::2"]),
    (3, "docker0", &["172.17.0.1", "fe80::3"]),
    (4, "br-1", &[]),
];

/// A host that has 192.0.2.1 and 2001:db8::1, and answers the outside by eth0.
struct Here;

impl Host for Here {
    fn address_type(&self, address: IpAddr) -> Option<AddressType> {
        Some(match address.to_string().as_str() {
            "192.0.2.1" | "192.0.2.2" | "2001:db8::1" | "172.17.0.1" => AddressType::Local,
            "192.0.2.255" => AddressType::Broadcast,
            _ => AddressType::Unicast,
        })
    }

    fn holder(&self, address: IpAddr) -> Option<u32> {
        let has =
            |(_, _, addresses): &&(u32, &str, &[&str])| addresses.contains(&address.to_string().as_str());
        LINKS.iter().find(has).map(|(index, ..)| *index)
    }

    fn set_has(&self, set: &str, _: IpAddr) -> Option<bool> {
        (set == "all" || set == "none").then_some(set == "all")
    }

    fn return_interface(&self, _: IpAddr) -> Option<u32> {
        Some(2)
    }
}

fn link(name: &str) -> Link {
    let (index, name, addresses) = LINKS.into_iter().find(|(_, known, _)| *known == name).unwrap();
    Link {
        index,
        name: name.into(),
        kind: Some("bridge".into()),
        controller: None,
        is_up: true,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        networks: if name == "eth0" { vec!["192.0.2.0/24".parse().unwrap()] } else { vec![] },
        has_default_route: false,
    }
}

/// A connection that is dialled: by whom, by which interface, at which address and port.
struct Dialled {
    source: Option<IpAddr>,
    incoming: Link,
    to: SocketAddr,
    transport: Transport,
}

/// Parses `192.0.2.9 eth0 192.0.2.1:80 tcp`, with `*` for anyone elsewhere.
fn dialled(text: &str) -> Dialled {
    let [source, incoming, to, transport] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    Dialled {
        source: (source != "*").then(|| source.parse().unwrap()),
        incoming: link(incoming),
        to: to.parse().unwrap(),
        transport: if transport == "tcp" { Transport::Tcp } else { Transport::Udp },
    }
}

impl Dialled {
    fn packet(&self) -> Packet<'_> {
        let payload = Payload::Ports {
            transport: self.transport,
            source: 50_000,
            destination: self.to.port(),
            opens: self.transport == Transport::Tcp,
        };
        Packet {
            source: self.source,
            destination: self.to.ip(),
            payload,
            incoming: &self.incoming,
            host: &Here,
        }
    }
}

/// Returns where rules may lead a packet: `10.0.0.1:80`, `-` if it stays as it was dialled, `untracked` if connection
/// tracking skips it, `?` if that is unknown.
fn led(tables: &Tables, text: &str) -> Vec<String> {
    let dialled = dialled(text);
    let Arrival { ways, unknown, .. } = tables.arrival(&dialled.packet());
    let ways = ways.iter().map(|way| match way.translated {
        Some(to) => SocketAddr::new(to.address, to.port).to_string(),
        None if way.is_tracked => "-".into(),
        None => "untracked".into(),
    });
    ways.chain(unknown.iter().map(|_| "?".into())).collect()
}

/// Returns what others have against a packet: each rule or policy, with a `?` behind it if it is uncertain.
fn objections(tables: &Tables, text: &str, outgoing: Option<&str>) -> Vec<String> {
    let dialled = dialled(text);
    let packet = dialled.packet();
    let arrival = tables.arrival(&packet);
    let outgoing = outgoing.map(link);
    let later = tables.objections(&packet, &arrival.ways[0], outgoing.as_ref());
    let all = arrival.objections.into_iter().chain(later);
    all.map(|one| format!("{}{}", one.place, if one.is_certain { "" } else { "?" })).collect()
}

#[test]
fn what_is_unknown_stays_so_unless_the_rest_settles_it() {
    assert_eq!(Answer::Unknown.and(Answer::No), Answer::No);
    assert_eq!([Answer::Unknown.and(Answer::Yes), Answer::Unknown.negated(true)], [Answer::Unknown; 2]);
}
