//! Rules of iptables, as `iptables-restore` reads and `iptables-save` or `iptables -S` write them.

use dockfw_policy::address::AddressRange;
use dockfw_policy::service::Service;
use dockfw_xtables::old::{CHAINS, OldRule};
use dockfw_xtables::words::words;
use ipnetwork::Ipv4Network;

use super::Input;
use super::findings::{Fault, Findings, Place, Placed, quoted};
use super::{lines, sets};

/// The rules of one file.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// The rules for processes of the host.
    pub(crate) host: Chain,
    /// The rules for containers.
    pub(crate) docker: Chain,
}

/// The contents of one chain.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// Where sources outside a set are dropped: the set, and the interface, if there is one.
    pub(crate) gates: Vec<Placed<Gate>>,
    /// What is open to everyone.
    pub(crate) open: Vec<Placed<Vec<Service>>>,
    /// Interfaces from which everything passes.
    pub(crate) interfaces: Vec<Placed<String>>,
    /// Sources that pass wherever they come from.
    pub(crate) networks: Vec<Placed<Ipv4Network>>,
    /// Sources that are dropped.
    pub(crate) blocked: Vec<Placed<AddressRange>>,
    /// Whether ICMP passes.
    pub(crate) icmp: bool,
}

/// A set, and the interface whose packets are checked against it; nothing for all interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) set: String,
    pub(crate) interface: Option<String>,
}

/// The lines of a chain as they stand.
type Lines<'a> = Vec<(Place, &'a str, Vec<String>)>;

/// Reads a file. Nothing, and a fault, if it is not the old layout's.
pub(crate) fn read(input: &Input, findings: &mut Findings) -> Option<Rules> {
    let [host, docker] = chains(input, findings);
    let rules =
        Rules { host: chain(host, Hook::Host, findings), docker: chain(docker, Hook::Docker, findings) };
    if rules.host.gates.is_empty() && rules.docker.gates.is_empty() {
        let place = Place::new(&lines::shown_name(input), 1);
        let help = "the old layout has lines such as -A FILTERS -m set ! --match-set ip_allow src -j DROP";
        findings.refuse(Fault::new(
            &place,
            "no rule in FILTERS or DOCKER-USER drops who is not in a set",
            help,
        ));
        return None;
    }
    Some(rules)
}

/// Returns the lines of the two chains.
fn chains<'a>(input: &'a Input, findings: &mut Findings) -> [Lines<'a>; 2] {
    let mut chains = [Vec::new(), Vec::new()];
    // The listing of `iptables -S` is of this table, and names none.
    let mut table = "filter".to_owned();
    for (place, line) in lines::of(input, findings) {
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim().into();
            continue;
        }
        let mut words = words(without_counters(line));
        let rest = words.split_off(words.len().min(2));
        let chain = words.get(1).and_then(|name| CHAINS.iter().position(|chain| chain == name));
        let chain = chain.filter(|_| table == "filter").and_then(|index| chains.get_mut(index));
        match (words.first().map(String::as_str), chain) {
            (Some("-A"), Some(chain)) => chain.push((place, line, rest)),
            (Some("-I"), Some(chain)) => insert(chain, place, line, rest),
            (Some("-F"), chain) => chain.into_iter().for_each(Vec::clear),
            (Some("-A" | "-I" | "-N" | "-P" | "-X" | "COMMIT"), _) => {}
            _ if line.starts_with(':') => {}
            _ => findings.unreadable(not_a_line(line, &place)),
        }
    }
    chains
}

fn not_a_line(line: &str, place: &Place) -> Fault {
    let help = "a line is a *TABLE, a :CHAIN, a rule that begins with -A, or COMMIT";
    Fault::new(place, format!("{} is not a line for iptables-restore", quoted(line)), help)
}

/// Returns `[12:3456] -A INPUT` without its counters.
fn without_counters(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, rule)) => rule,
        None => line,
    }
}

/// Inserts a rule at the place of its number; without a number, at the first place.
fn insert<'a>(chain: &mut Lines<'a>, place: Place, line: &'a str, mut rule: Vec<String>) {
    let number = rule.first().and_then(|word| word.parse::<usize>().ok());
    if number.is_some() {
        rule.remove(0);
    }
    let index = number.unwrap_or(1).saturating_sub(1).min(chain.len());
    chain.insert(index, (place, line, rule));
}

/// The target of a chain's packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Host,
    Docker,
}

fn chain(lines: Lines<'_>, hook: Hook, findings: &mut Findings) -> Chain {
    let mut chain = Chain::default();
    let mut is_over = false;
    for (place, line, words) in lines {
        let rule = OldRule::read(&words);
        if is_over {
            if rule != Some(OldRule::Return) {
                findings.note(format!("{place}: {} was never reached", quoted(line)));
            }
            continue;
        }
        is_over = matches!(rule, Some(OldRule::Return | OldRule::Gate { interface: None, .. }));
        match rule {
            Some(rule) => chain.add(rule, line, &place, hook, findings),
            None => chain.add_other(&words, line, &place, hook, findings),
        }
    }
    chain
}

impl Chain {
    fn add(&mut self, rule: OldRule, line: &str, place: &Place, hook: Hook, findings: &mut Findings) {
        match rule {
            // A policy contains all of these by itself.
            OldRule::Established | OldRule::EncryptedVxlan | OldRule::Loopback | OldRule::Return => {}
            OldRule::Icmp => self.icmp = true,
            OldRule::Open(services) => self.open.push(Placed::new(services, place)),
            OldRule::Gate { set, interface } => self.gates.push(Placed::new(Gate { set, interface }, place)),
            OldRule::FromInterface(name) if hook == Hook::Docker => {
                self.interfaces.push(Placed::new(name, place));
            }
            OldRule::FromNetwork(network) if hook == Hook::Docker => {
                self.networks.push(Placed::new(network, place));
            }
            OldRule::FromInterface(_) => not_carried(
                line,
                place,
                "containers are let in by an [[allow]] with from = [\"containers\"], other interfaces by [interfaces] exempt",
                findings,
            ),
            OldRule::FromNetwork(_) => {
                not_carried(
                    line,
                    place,
                    "name the network in `trusted`, or in the `from` of an [[allow]]",
                    findings,
                );
            }
        }
    }

    /// Adds a rule that is not of the old layout.
    fn add_other(
        &mut self,
        words: &[String],
        line: &str,
        place: &Place,
        hook: Hook,
        findings: &mut Findings,
    ) {
        if let Some(source) = dropped_source(words) {
            self.blocked.push(Placed::new(source, place));
            return;
        }
        match target(words) {
            Some("ACCEPT" | "RETURN") => {
                not_carried(line, place, "what it let in is closed unless another rule opens it", findings);
            }
            _ if hook == Hook::Docker => {
                findings.note(format!(
                    "{place}: {} is not of the old layout; dockfw leaves it where it is, and the policy does not have it",
                    quoted(line)
                ));
            }
            _ => findings.refuse(Fault::new(
                place,
                format!("{} drops what the policy may let in", quoted(line)),
                "a policy has no such rule; remove the line from a copy of this file to import without it",
            )),
        }
    }
}

fn not_carried(line: &str, place: &Place, advice: &str, findings: &mut Findings) {
    findings.note(format!("{place}: {} is not carried over: {advice}", quoted(line)));
}

fn target(words: &[String]) -> Option<&str> {
    let at = words.iter().position(|word| word == "-j" || word == "-g")?;
    words.get(at + 1).map(String::as_str)
}

/// Returns the source of a rule that drops all packets from there.
fn dropped_source(words: &[String]) -> Option<AddressRange> {
    match words {
        [option, source, jump, target] if option == "-s" && jump == "-j" && target == "DROP" => {
            sets::range(source).ok()
        }
        _ => None,
    }
}
