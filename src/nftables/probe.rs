//! What the engine needs of the kernel, asked of the kernel itself: a transaction with one of each construct, which
//! is never committed.

use std::net::{Ipv4Addr, Ipv6Addr};

use dockfw_policy::address::{Address, Family, Range};
use dockfw_policy::engine::{EngineError, Requirement};
use dockfw_policy::interface::IfPattern;
use dockfw_policy::nft::{
    Chain, Counter, Direction, Elements, End, Features, Ports, Rule, Set, Statement, Table,
};
use dockfw_policy::policy::{Rate, RateUnit};
use dockfw_policy::ruleset::{Hook, Origin, PortField, SetName};
use dockfw_policy::service::{PortRange, Transport};
use nix::errno::Errno;

use super::plan::Operation;
use super::transaction::{Failure, Label, Transaction, reason};
use super::wanted::Wanted;
use crate::netlink::message::Reply;
use crate::netlink::netfilter::Socket;

/// A feature that the engine can do without.
const INTERFACE_KIND: &str = "the kind of an interface (meta iifkind)";
const DIALLED_ADDRESS: &str = "the address that was dialled (ct original ip daddr)";
const REVERSE_PATH: &str = "the way back to a source (fib saddr . iif oif) at the hook input";
const VERDICT_MAPS: &str = "verdict maps (ct original proto-dst vmap)";
/// Where the answers come from.
const SOURCE: &str = "the kernel, by a transaction that is never committed";
/// The counter that rules refer to.
const COUNTER: &str = "probe";
/// The map that a rule asks.
const MAP: &str = "ports_to_chains";
/// The chain that a rule and a map jump to.
const CALLED: &str = "called";

/// Asks for everything that the engine may need.
pub(crate) fn probe(socket: &mut Socket) -> Result<Vec<Requirement>, EngineError> {
    let table = everything();
    let wanted = super::encode(&table)?;
    let operations = operations(&wanted);
    let refusals = match check(socket, &operations) {
        Ok(()) => Vec::new(),
        Err(Failure::Refused(refusals)) => refusals,
        Err(Failure::Engine(EngineError::Unsupported(reason))) => {
            return Ok(vec![requirement("nf_tables with tables of the family inet", Some(reason))]);
        }
        Err(failure) => return Err(failure.into()),
    };
    refusals.iter().try_for_each(|(_, reply)| refuse_passing(reply))?;
    Ok(operations
        .iter()
        // The first two only prepare for the third.
        .skip(2)
        // The set itself has an answer of its own, and a map that of the rule that asks it.
        .filter(|operation| !matches!(operation, Operation::AddElements(..)))
        .filter(|operation| operation.added_set().is_none_or(|set| set != MAP))
        .map(|operation| answer(operation, &refusals))
        .collect())
}

/// Asks for the optional features alone.
pub(crate) fn features(socket: &mut Socket) -> Result<Features, EngineError> {
    let table = table(optional(), vec![verdict_map()]);
    let wanted = super::encode(&table)?;
    let refusals = match check(socket, &operations(&wanted)) {
        Ok(()) => Vec::new(),
        Err(Failure::Refused(refusals)) if refusals.iter().all(|(label, _)| is_about_optional(label)) => {
            refusals
        }
        Err(failure) => return Err(failure.into()),
    };
    refusals.iter().try_for_each(|(_, reply)| refuse_passing(reply))?;
    let has = |what| !refusals.iter().any(|(label, _)| is_about(label, what));
    Ok(Features {
        interface_kind: has(INTERFACE_KIND),
        dialled_address: has(DIALLED_ADDRESS),
        reverse_path: has(REVERSE_PATH),
        verdict_maps: has(VERDICT_MAPS),
    })
}

fn optional() -> Vec<(&'static str, Vec<Statement>)> {
    let loopback = ipnetwork::Ipv4Network::new(Ipv4Addr::new(127, 0, 0, 0), 8).ok();
    let dialled = loopback.map(|network| Statement::DialledAddress(network.into()));
    vec![
        (INTERFACE_KIND, vec![Statement::Bridge(Direction::In)]),
        (DIALLED_ADDRESS, dialled.into_iter().collect()),
        (REVERSE_PATH, vec![Statement::ReversePathFails]),
        (VERDICT_MAPS, vec![dispatch()]),
    ]
}

fn is_about_optional(label: &Label) -> bool {
    optional().iter().any(|(what, _)| is_about(label, what))
}

/// Returns the operations, on a table of the real name, because its messages are those of the real table. If the table
/// exists, it is deleted first, in the same transaction, which is never committed.
fn operations(wanted: &Wanted) -> Vec<Operation<'_>> {
    let rules = wanted.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    [Operation::AddTable, Operation::DeleteTable, Operation::AddTable]
        .into_iter()
        .chain(wanted.counters.iter().map(Operation::AddCounter))
        .chain(wanted.chains.iter().map(Operation::AddChain))
        .chain(wanted.sets.iter().flat_map(Operation::all_of_set))
        .chain(rules.map(|(chain, rule)| Operation::AddRule(chain, rule)))
        .collect()
}

fn check(socket: &mut Socket, operations: &[Operation<'_>]) -> Result<(), Failure> {
    let mut transaction = Transaction::begin(socket, None);
    for operation in operations {
        operation.push(&mut transaction, socket);
    }
    transaction.check(socket)
}

/// Fails for an error that may be temporary: it shows nothing of what the kernel can do.
fn refuse_passing(reply: &Reply) -> Result<(), EngineError> {
    let errno = Errno::from_raw(reply.errno);
    match errno {
        Errno::EPERM => Err(EngineError::NotPermitted),
        Errno::EAGAIN | Errno::EBUSY | Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM | Errno::ETIMEDOUT => {
            Err(EngineError::Io {
                doing: "can't ask the kernel what it supports".into(),
                source: errno.into(),
            })
        }
        _ => Ok(()),
    }
}

fn answer(operation: &Operation<'_>, refusals: &[(Label, Reply)]) -> Requirement {
    let what = describe(operation);
    let refusal = refusals.iter().find(|(label, _)| match operation {
        Operation::AddRule(..) => is_about(label, &what),
        Operation::AddSet(set) => label.operation.ends_with(&format!(" set {}", set.name)),
        operation => label.operation == operation.to_string(),
    });
    requirement(&what, refusal.map(|(_, reply)| reason(reply)))
}

fn is_about(label: &Label, what: &str) -> bool {
    let is_of_map = what == VERDICT_MAPS && label.operation.ends_with(&format!(" set {MAP}"));
    is_of_map || label.origin.as_ref().is_some_and(|origin| origin.what == what)
}

fn requirement(what: &str, missing: Option<String>) -> Requirement {
    Requirement {
        what: what.into(),
        source: SOURCE.into(),
        missing,
        optional: optional().iter().any(|(own, _)| *own == what),
    }
}

fn describe(operation: &Operation<'_>) -> String {
    match operation {
        Operation::AddTable => "tables of the family inet".into(),
        Operation::AddCounter(_) => "named counters".into(),
        Operation::AddSet(set) => format!("sets: {}", set.name.replace('_', " ")),
        Operation::AddChain(chain) if chain.priority.is_none() => "chains at no hook".into(),
        Operation::AddChain(chain) => format!("chains at the hook {}", chain.name),
        Operation::AddRule(_, rule) => rule.origin.what.clone(),
        operation => operation.to_string(),
    }
}

/// Returns a table with one rule for each construct that is asked for.
fn table(constructs: Vec<(&str, Vec<Statement>)>, sets: Vec<Set>) -> Table {
    let rule = |(what, statements): (&str, Vec<Statement>)| Rule {
        statements,
        comment: what.into(),
        origin: Origin { what: what.into(), place: None },
    };
    let mut chains = vec![
        chain(CALLED, Hook::Input, None),
        chain("prerouting", Hook::Prerouting, Some(-310)),
        chain("forward", Hook::Forward, Some(-10)),
        chain("input", Hook::Input, Some(-10)),
    ];
    if let Some(input) = chains.last_mut() {
        input.rules = constructs.into_iter().map(rule).collect();
    }
    let counters = SetName::new(COUNTER).into_iter().map(|name| Counter { name }).collect();
    Table { counters, sets, chains }
}

fn chain(name: &'static str, hook: Hook, priority: Option<i32>) -> Chain {
    Chain { name: name.into(), hook, priority, rules: Vec::new() }
}

fn everything() -> Table {
    let mut constructs = vec![
        (
            "names of interfaces (meta iifname)",
            vec![Statement::InterfaceName {
                direction: Direction::In,
                pattern: IfPattern::Name("lo".into()),
            }],
        ),
        ("matching a set (lookup)", vec![set_match()]),
        ("verdicts", vec![Statement::Drop]),
        ("jumps to other chains", vec![Statement::Jump(CALLED)]),
        ("addresses of packets (payload, bitwise)", address_matches()),
        ("the kind of a packet (meta pkttype)", vec![Statement::Unicast { negated: false }]),
        ("own addresses (fib saddr type)", vec![Statement::IsLocal(End::Source)]),
        ("the state of a connection (ct state)", vec![Statement::Established]),
        ("the status of a connection (ct status)", vec![Statement::Translated]),
        ("the port that was dialled (ct original proto-dst)", vec![dialled_port()]),
        ("TCP flags", vec![Statement::Opening { negated: true }]),
        ("counting by a named counter (objref)", counter().into_iter().collect()),
        ("limits (limit)", Rate::new(10, RateUnit::Second).map(Statement::Limit).into_iter().collect()),
        ("the kernel's log (log)", vec![Statement::Log("dockfw: ".into())]),
    ];
    constructs.extend(optional());
    table(constructs, sets().into_iter().chain([verdict_map()]).collect())
}

fn counter() -> Option<Statement> {
    SetName::new(COUNTER).map(Statement::Counter)
}

fn set_match() -> Statement {
    Statement::AddressIn { end: End::Source, family: Family::Ipv4, set: "IPv4_addresses".into() }
}

fn address_matches() -> Vec<Statement> {
    let network = ipnetwork::Ipv4Network::new(Ipv4Addr::new(10, 0, 0, 0), 9).ok();
    let network = network.map(|network| Statement::Address { end: End::Source, network: network.into() });
    network.into_iter().collect()
}

fn dialled_port() -> Statement {
    let ports = Ports::Set("ports".into());
    Statement::Port { transport: Transport::Tcp, field: PortField::Dialled, ports }
}

/// Returns a map of the kind that older kernels are most likely to lack: of ranges.
fn verdict_map() -> Set {
    let range = PortRange::new(80, 81).map(|range| (range, CALLED.to_owned()));
    let elements = Elements::Jumps(range.into_iter().collect());
    Set { name: MAP.into(), list: None, elements, interval: true, comment: "probe".into() }
}

fn dispatch() -> Statement {
    Statement::Dispatch { transport: Transport::Tcp, field: PortField::Dialled, map: MAP.into() }
}

/// Returns a hash set and an interval set of each type. The names are shown.
fn sets() -> Vec<Set> {
    let hosts = |interval| if interval { "networks" } else { "addresses" };
    let of = |name: String, elements, interval| Set {
        name,
        list: None,
        elements,
        interval,
        comment: "probe".into(),
    };
    [false, true]
        .into_iter()
        .flat_map(|interval| {
            let suffix = if interval { "_ranges" } else { "" };
            [
                of(
                    format!("IPv4_{}", hosts(interval)),
                    Elements::Ipv4(pair(Ipv4Addr::LOCALHOST, interval)),
                    interval,
                ),
                of(
                    format!("IPv6_{}", hosts(interval)),
                    Elements::Ipv6(pair(Ipv6Addr::LOCALHOST, interval)),
                    interval,
                ),
                of(
                    format!("ports{suffix}"),
                    Elements::Ports(PortRange::new(80, 80 + u16::from(interval)).into_iter().collect()),
                    interval,
                ),
                of(format!("interfaces{suffix}"), Elements::Interfaces(vec![pattern(interval)]), interval),
            ]
        })
        .collect()
}

fn pair<A: Address>(address: A, interval: bool) -> Vec<Range<A>> {
    let prefix = if interval { A::BITS - 1 } else { A::BITS };
    vec![Range::network_of(address, prefix)]
}

fn pattern(interval: bool) -> IfPattern {
    if interval { IfPattern::Prefix("br-".into()) } else { IfPattern::Name("docker0".into()) }
}
