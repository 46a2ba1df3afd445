//! `[interfaces]`: the class that fits each interface best without opening anything of this host.

use dockfw_policy::interface::IfPattern;
use dockfw_policy::policy::Policy;

use super::document::{Entry, comment, list};
use crate::host::docker::{Driver, Network};
use crate::host::links::Link;
use crate::safety::interfaces::{Look, at_risk, can_be_inside, false_bridges, leads_out};
use crate::safety::usage::Usage;

/// What counts as Docker's bridges if a policy does not say.
const DOCKER: [&str; 3] = ["docker0", "docker_gwbridge", "br-*"];

/// A class of `[interfaces]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Docker,
    Inside,
    Crossing,
    Filtered,
}

/// An interface that the file names: in which class, and why.
struct Named {
    name: String,
    class: Class,
    why: String,
}

/// Which interfaces are in which class.
pub(super) struct Classes {
    /// What counts as Docker's bridges.
    docker: Vec<String>,
    /// Whether that is the default.
    is_default: bool,
    named: Vec<Named>,
    /// What the others look like, a line for each.
    rest: Vec<String>,
}

impl Classes {
    /// Returns classes that only say which interfaces are Docker's. If one of another program's looks like Docker's by
    /// its name, only those bridges are listed that Docker reports.
    pub(super) fn of_docker(links: &[Link], networks: &[Network]) -> Self {
        let default = DOCKER.map(str::to_owned).to_vec();
        let is_default =
            super::policy("").is_ok_and(|policy| false_bridges(&policy, links, networks).is_empty());
        let bridges = networks.iter().filter_map(|network| match &network.driver {
            Driver::Bridge(name) if is_nameable(name) => Some(name.clone()),
            _ => None,
        });
        let mut own: Vec<_> =
            ["docker0", "docker_gwbridge"].map(str::to_owned).into_iter().chain(bridges).collect();
        own.sort();
        own.dedup();
        let docker = if is_default { default } else { own };
        Self { docker, is_default, named: Vec::new(), rest: Vec::new() }
    }

    /// Sorts all interfaces. `bare`: a policy that says no more than which are Docker's.
    pub(super) fn of(bare: &Policy, links: &[Link], networks: &[Network], usage: &Usage) -> Self {
        let at_risk = at_risk(bare, links, usage);
        let named = at_risk.iter().filter(|(link, _)| is_nameable(&link.name));
        let named = named.map(|(link, look)| named_as(link, look, links)).collect();
        let rest = links
            .iter()
            .filter(|link| link.is_up && link.is_way_in() && !bare.interfaces.is_docker(&link.name));
        let rest = rest.filter(|link| !at_risk.iter().any(|(other, _)| other.index == link.index));
        let rest = rest.map(described).collect();
        Self { named, rest, ..Self::of_docker(links, networks) }
    }

    /// Returns whether an interface is filtered as the outside is.
    pub(super) fn is_filtered(&self, link: &Link) -> bool {
        let is_dockers = self
            .docker
            .iter()
            .any(|pattern| pattern.parse::<IfPattern>().is_ok_and(|pattern| pattern.matches(&link.name)));
        let is_named = self.named.iter().any(|named| named.name == link.name);
        !is_dockers && !is_named && link.is_way_in()
    }

    /// Returns whether there are inside networks.
    pub(super) fn has_inside(&self) -> bool {
        self.of_class(Class::Inside).next().is_some()
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &Named> {
        self.named.iter().filter(move |named| named.class == class)
    }

    /// Returns the table.
    pub(super) fn text(&self) -> String {
        let rest: String = self.rest.iter().map(|line| format!("#   {}\n", comment(line))).collect();
        let rest = if rest.is_empty() { rest } else { format!("# Filtered, as `*` says:\n{rest}") };
        let lists = [self.docker(), self.lists()].concat();
        format!("\n# Which interfaces lead where. See dockfw.toml(5).\n[interfaces]\n{rest}{lists}")
    }

    fn docker(&self) -> String {
        let mut entries: Vec<_> = self.docker.iter().map(|name| Entry::on(name, "")).collect();
        entries.extend(self.of_class(Class::Docker).map(entry));
        if entries.len() == DOCKER.len() && self.is_default {
            return String::new();
        }
        let why = if self.is_default {
            ""
        } else {
            "# Not `br-*`: it would match an interface that is not Docker's. New networks of Docker need a line here.\n"
        };
        format!("{why}{}", list("docker", entries))
    }

    fn lists(&self) -> String {
        let lists = [
            (Class::Inside, "inside", None),
            (Class::Crossing, "crossing", None),
            (Class::Filtered, "filtered", Some("*")),
        ];
        let lists = lists.into_iter().filter(|(class, ..)| self.of_class(*class).next().is_some());
        let lists = lists.map(|(class, key, default)| {
            let default = default.map(|pattern| Entry::on(pattern, ""));
            list(key, default.into_iter().chain(self.of_class(class).map(entry)).collect())
        });
        lists.collect()
    }
}

fn entry(named: &Named) -> Entry {
    Entry::on(&named.name, named.why.clone())
}

/// Returns whether a policy can name an interface: the kernel accepts more names.
fn is_nameable(name: &str) -> bool {
    matches!(name.parse(), Ok(IfPattern::Name(_)))
}

fn named_as(link: &Link, look: &Look, links: &[Link]) -> Named {
    let (class, why) = match look {
        Look::DockerNetwork(network) => (Class::Docker, format!("Docker's network {network}")),
        Look::Bridge if leads_out(link, links) => {
            (Class::Crossing, "it bridges a network card to machines".to_owned())
        }
        Look::Bridge => (Class::Inside, "a bridge that is not Docker's: guests?".to_owned()),
        Look::Tunnel => (Class::Filtered, "a VPN or tunnel; if all in it are trusted: `exempt`".to_owned()),
        Look::Routed if can_be_inside(link, links) => {
            (Class::Inside, "this host routes for its network".to_owned())
        }
        Look::Guest if can_be_inside(link, links) => (Class::Inside, "a link to guests".to_owned()),
        Look::Routed | Look::Guest => (Class::Filtered, "this host routes for its network".to_owned()),
    };
    Named { name: link.name.clone(), class, why }
}

fn described(link: &Link) -> String {
    let kind = match link.kind.as_deref() {
        None => "a network card".to_owned(),
        Some(kind) => format!("of kind {kind}"),
    };
    let way_out = if link.has_default_route { ", the uplink: the default route uses it" } else { "" };
    format!("{}: {kind}{way_out}", link.name)
}
