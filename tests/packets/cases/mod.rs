//! The cases, by what they are about.

mod checks;
mod connections;
mod containers;
mod docker;
mod explained;
mod foreign;
mod forged;
mod from_inside;
mod host;
mod hosts;
mod interfaces;
mod live;
mod moves;
mod networks;
mod old;
mod random;
mod rules;
mod status;
mod translated;
mod trials;
mod words;

use anyhow::Result;
use dockfw_lab::{Engine, LabOptions, Layout, Variant};

use crate::fixture::{Daemon, PacketFixture, Setting};
use crate::need::Need;

/// One case.
pub(crate) struct Case {
    /// The statements of `docs/security.md` that it proves, or the verb that it is about.
    pub(crate) statements: &'static str,
    /// What it is about.
    pub(crate) name: &'static str,
    /// The case itself.
    pub(crate) run: fn(&PacketFixture<'_>, Setting) -> Result<()>,
    /// Why it does not hold with the compat engine, if it does not.
    not_with_compat: Option<&'static str>,
    /// Why it can't run with the Docker of another release, if it can't.
    not_in_a_root: Option<&'static str>,
    /// Why it can't run with Docker on its nftables backend, if it can't.
    not_on_nftables: Option<&'static str>,
    /// Why it is not run without the prefilter, if it is not.
    not_without_prefilter: Option<&'static str>,
    /// What it takes that the kernel may lack, if it does.
    needs: Option<Need>,
    /// Whether it is about that backend.
    is_about_nftables: bool,
    /// How Docker is started for it. If otherwise than usual, it runs once for each Docker.
    pub(crate) daemon: Daemon,
}

impl Case {
    /// Whether the case is one for Docker on its backend for nftables, or for iptables.
    pub(crate) fn is_for(&self, docker_on_nftables: bool) -> bool {
        docker_on_nftables || !self.is_about_nftables
    }

    /// Why the case is skipped with this setting and lab, if it is.
    pub(crate) fn reason_not_to_run(&self, setting: Setting, lab: &LabOptions) -> Option<String> {
        let by_engine = self.not_with_compat.filter(|_| setting.engine == Engine::Compat);
        let by_backend = self.not_on_nftables.filter(|_| lab.layout == Some(Layout::Nftables));
        let by_root = self.not_in_a_root.filter(|_| lab.root.is_some());
        let by_prefilter = self.not_without_prefilter.filter(|_| !setting.prefilter);
        let by_kernel = || self.needs.and_then(Need::lack);
        by_engine
            .or(by_backend)
            .or(by_root)
            .or(by_prefilter)
            .or_else(by_kernel)
            .or(self.is_elsewhere(setting, lab))
            .map(str::to_owned)
    }

    /// Why it runs with another setting or lab, where a fixture is raised for it alone.
    fn is_elsewhere(&self, setting: Setting, lab: &LabOptions) -> Option<&'static str> {
        let is_first = setting.engine == Engine::Native && setting.prefilter && lab.variant == Variant::Nft;
        let elsewhere = (!is_first).then_some("it runs with the first setting");
        let layout = lab.layout.map(|_| "Docker's rules are not its own there");
        let crashes =
            self.daemon == Daemon::WithoutRules && lab.docker_major().is_none_or(|major| major < 23);
        let old = crashes.then_some("dockerd 20.10 crashes without rules");
        elsewhere.or(layout).or(old).filter(|_| self.daemon != Daemon::Usual)
    }

    const fn with(self, daemon: Daemon) -> Self {
        Self { daemon, ..self }
    }

    const fn native_only(self, reason: &'static str) -> Self {
        Self { not_with_compat: Some(reason), ..self }
    }

    const fn iptables_only(self, reason: &'static str) -> Self {
        Self { not_on_nftables: Some(reason), ..self }
    }

    const fn needs(self, need: Need) -> Self {
        Self { needs: Some(need), ..self }
    }

    const fn about_nftables(self) -> Self {
        Self { is_about_nftables: true, ..self }
    }

    const fn with_prefilter_only(self, reason: &'static str) -> Self {
        Self { not_without_prefilter: Some(reason), ..self }
    }

    const fn host_only(self, reason: &'static str) -> Self {
        Self { not_in_a_root: Some(reason), ..self }
    }
}

const fn case(
    statements: &'static str,
    name: &'static str,
    run: fn(&PacketFixture<'_>, Setting) -> Result<()>,
) -> Case {
    Case {
        statements,
        name,
        run,
        not_with_compat: None,
        not_in_a_root: None,
        not_on_nftables: None,
        not_without_prefilter: None,
        needs: None,
        is_about_nftables: false,
        daemon: Daemon::Usual,
    }
}

/// Who is trusted and who is blocked, in most cases.
pub(crate) const SOURCES: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]
blocked = ["192.0.2.40", "2001:db8:1::40"]
"#;

/// A policy of [`SOURCES`] and one rule that opens `ports` (each over TCP and UDP) to everyone.
pub(crate) fn opening(ports: &[&str], to: &str) -> String {
    let ports: Vec<_> =
        ports.iter().flat_map(|port| [format!("\"{port}/tcp\""), format!("\"{port}/udp\"")]).collect();
    let to = if to.is_empty() { String::new() } else { format!("to = \"{to}\"") };
    format!("{SOURCES}\n[[allow]]\nname = \"open\"\nports = [{}]\n{to}\n", ports.join(", "))
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    case("S2", "a policy applied before Docker's first start holds after it", docker::early_policy),
    case("S2", "the probe tells where Docker filters", docker::probe_tells_where_docker_filters),
    case(
        "S2",
        "the compat engine refuses where Docker is on its nftables backend",
        docker::compat_refuses_dockers_nftables,
    )
    .about_nftables(),
    case(
        "S2 status",
        "rules of the compat engine that Docker's nftables backend passes by are not in force",
        docker::compat_is_passed_by,
    )
    .about_nftables(),
    case(
        "S6",
        "a trusted source reaches every process and every published port",
        docker::trusted_reaches_all,
    ),
    case(
        "S1 S2 S3 S7 S8",
        "what explain says of hosts, published ports and containers is so",
        explained::as_clients_find_it,
    ),
    case(
        "explain",
        "what explain says of connections at random is so, in each gateway mode",
        connections::explained_at_random,
    )
    .with_prefilter_only("random packets show what that decides"),
    case(
        "S1 S2 explain status",
        "what explain and status say of translations that are not Docker's is so",
        translated::as_clients_find_it,
    )
    .needs(Need::NfTables),
    case("S1", "a host process is closed unless a rule opens it", host::closed_unless_opened),
    case("S1", "a host process behind the operator's redirect goes by the number dialled", host::redirected),
    case("S1", "so does one that it reaches at a loopback address", host::redirected_to_loopback),
    case("S1", "a container on the host's network is a process of the host", host::host_network),
    case("S2", "published ports are closed unless a rule opens them", docker::closed_unless_opened),
    case(
        "S1 S2 S13",
        "what others accept first opens nothing, now or after an apply",
        foreign::accepted_first,
    ),
    case("S2", "a rule opens the number that clients dial", docker::number_dialled),
    case("S2", "a rule without to opens host and Docker alike", docker::without_to),
    case("S2", "a rule with from opens to its sources only", docker::scoped),
    case("S1 S2", "a rule with in opens its ports by that interface alone", rules::by_interface),
    case("S8", "a rule with in opens the host to containers of one network", rules::by_one_network),
    case("S1 S2 S3 S6", "a rule with only keeps its ports, from the trusted too", rules::kept),
    case(
        "S15",
        "whoever is blocked stays out of ports that a rule keeps for them",
        rules::blocked_beats_kept,
    ),
    case("S3", "containers' own addresses are closed whatever is published", docker::direct_closed),
    case(
        "S3",
        "containers' own addresses are closed where Docker allows direct routing",
        docker::direct_routing_allowed,
    )
    .about_nftables(),
    case("S3", "a rule to containers opens their own port", docker::direct_opened),
    case(
        "S2",
        "someone else's translation of a number open for Docker stays closed",
        docker::foreign_translation,
    ),
    case("S4", "a source inside Docker's subnets buys nothing", forged::inside_sources).needs(Need::NfTables),
    case("S4", "a trusted network that overlaps Docker's is named", forged::trusted_overlap_is_named),
    case(
        "S5",
        "addresses that only the host could use are dropped on every interface",
        forged::impossible_addresses,
    )
    .needs(Need::NfTables),
    case(
        "S5",
        "the host's own address in frames to a group or to everyone is dropped",
        forged::own_address_in_a_groups_frame,
    )
    .needs(Need::NfTables),
    case("S5", "what the host sends to a group comes back to it", forged::looped_multicast),
    case("S4 S8", "a container's forged source buys nothing at its host", from_inside::forged_to_the_host)
        .needs(Need::NfTables),
    case("S4 S11", "a container can't pass for a peer of the Swarm", from_inside::forged_peers)
        .needs(Need::NfTables),
    case(
        "S7",
        "a container that routes for others still sends their packets outwards",
        from_inside::foreign_sources_outwards,
    )
    .needs(Need::NfTables),
    case("S8", "a container on two networks dials its host by either", from_inside::two_networks),
    case(
        "S7 S11",
        "containers can't speak to Swarm peers in the node's name",
        from_inside::no_swarm_in_the_nodes_name,
    ),
    case("S7", "what containers reach stays as Docker made it", containers::ways_of_containers_stay),
    case("S7", "networks and containers that come later are covered", containers::future_networks),
    case(
        "S8",
        "containers reach neither host processes nor ports published there",
        containers::host_is_closed,
    ),
    case("S8", "a rule opens the host to containers", containers::host_is_opened_by_rules),
    case("S8", "the published ports that containers lose are named", containers::lost_ports_are_named),
    case(
        "S9 S13",
        "connections outlive a hundred applies while an outsider knocks",
        live::through_a_hundred_applies,
    ),
    case("S9", "connections and closed ports outlive a restart of Docker", live::through_a_restart_of_docker),
    case("S10", "what a network segment needs always passes", forged::neighbourhood).needs(Need::NfTables),
    case(
        "S3 S10",
        "what a network segment needs does not come from beyond it",
        forged::neighbourhood_from_afar,
    )
    .needs(Need::NfTables),
    case("S10", "ping as configured", forged::ping).needs(Need::NfTables),
    case("S10", "ICMP errors of live connections pass", forged::errors_of_live_connections)
        .needs(Need::NfTables),
    case("S11", "containers can't speak VXLAN to peers", containers::no_vxlan_in_the_nodes_name),
    case("S11", "Swarm peers reach what Swarm needs", containers::swarm_peers),
    case("S13", "a wrong policy changes nothing", live::a_wrong_policy_changes_nothing),
    case("S13", "a refusal by the kernel changes nothing", live::a_refusal_by_the_kernel_changes_nothing)
        .native_only("only a table of nftables can have an owner")
        .needs(Need::TableOwners),
    case("S13", "an apply that is killed leaves one policy or the other", live::killed_at_any_moment),
    case(
        "S9 S13",
        "connections outlive moves between the engines while an outsider knocks",
        moves::nothing_breaks,
    )
    .needs(Need::NfTables)
    .iptables_only("the compat engine refuses to work there"),
    case(
        "S13",
        "a move between the engines that is killed leaves the policy in force",
        moves::killed_at_any_moment,
    )
    .needs(Need::NfTables)
    .iptables_only("the compat engine refuses to work there"),
    case("S9 S13", "a policy that nobody confirms is taken back, and its engine with it", trials::taken_back)
        .needs(Need::NfTables)
        .host_only("a loader of the lab's starts dockfw there, so that it can't start its watcher"),
    case(
        "S1 S2 S3 S4 S7 S8",
        "policies imported from the old layout decide as that did",
        old::imported_policies_decide_as_before,
    )
    .needs(Need::NfTables)
    .iptables_only("the old layout filters nothing there"),
    case(
        "S9 S13",
        "connections outlive the take-over from the old layout, and the way back",
        old::nothing_breaks,
    )
    .iptables_only("the old layout filters nothing there"),
    case("S13", "a take-over from the old layout that is killed opens nothing", old::killed_at_any_moment)
        .iptables_only("the old layout filters nothing there"),
    case("S15", "blocked beats trusted beats allow", live::blocked_beats_all),
    case("S15", "a source is blocked in the middle of a download", live::a_blocked_source_in_the_middle),
    case("S16", "remove leaves the rules of others as they were", foreign::remove_leaves_nothing),
    case("S13", "applying what is in force changes nothing", foreign::apply_is_idempotent),
    case("S1 S3", "an interface named like a bridge of Docker's is outside", interfaces::no_bridge)
        .native_only("iptables knows interfaces by their names alone"),
    case("S3", "a bridge to the outside is refused at the next apply", interfaces::bridge_to_the_outside),
    case("S1", "machines on a foreign bridge", interfaces::foreign_bridge),
    case(
        "S1",
        "machines on a foreign bridge whose frames pass the host's hooks",
        interfaces::foreign_bridge_through_hooks,
    )
    .needs(Need::BridgeNetfilter),
    case("S1 S2 S3 S7 S8", "inside networks, without rules", networks::without_rules),
    case("S1 S2 S3 S8", "a rule opens a way from or to an inside network", networks::with_rules),
    case(
        "S1",
        "what is translated to an inside network goes by the number that clients dial",
        networks::translated,
    ),
    case("S4", "a forged source from an inside network buys nothing", networks::forged_from_inside)
        .needs(Need::NfTables),
    case("S11", "an inside network can't speak VXLAN to the host", networks::no_vxlan_from_inside)
        .needs(Need::NfTables),
    case("S1 S15", "frames cross a bridge that is named for it", networks::crossing),
    case(
        "S1 S15",
        "frames that pass the host's hooks cross a bridge that is named for it",
        networks::crossing_through_hooks,
    )
    .needs(Need::BridgeNetfilter),
    case("S1 S10", "frames within an inside bridge pass the host's hooks", networks::within_through_hooks)
        .needs(Need::BridgeNetfilter),
    case("S1 S2 S5 S8", "examples/hosts: a Proxmox host", hosts::proxmox).needs(Need::NfTables),
    case(
        "S1 S2 S5 S8",
        "examples/hosts: a Proxmox host whose frames pass its hooks",
        hosts::proxmox_through_hooks,
    )
    .needs(Need::BridgeNetfilter),
    case("S1 S2 S8", "examples/hosts: a router", hosts::router).needs(Need::NfTables),
    case("S1 S2 S7", "examples/hosts: Podman beside Docker", hosts::podman),
    case("S1 S2 S4", "examples/hosts: a node of a tailnet", hosts::tailscale).needs(Need::NfTables),
    case("S2 S8", "examples/hosts: mailcow", hosts::mailcow),
    case("S1 S8", "examples/hosts: Home Assistant", hosts::home_assistant).needs(Need::NfTables),
    case("S1 S2 S7", "examples/hosts: k3s beside Docker", hosts::k3s).needs(Need::NfTables),
    case("S1 S5 S15", "an exempt interface is let through but for blocked sources", interfaces::exempt),
    case("S1", "interfaces outside of filtered are let through and named", interfaces::not_filtered),
    case("check", "check names what bears on the policy, and nothing else", checks::names_what_is_there),
    case("check S7", "what is in use is named before it is lost", checks::names_what_is_in_use),
    case("check", "what neighbours use is named before it is lost", checks::names_neighbours),
    case("check", "rules whose `to` does not fit are named", checks::names_misdirected_rules),
    case("check", "check names chains of nftables that bear on the policy", checks::names_chains)
        .needs(Need::NfTables),
    case("S1 S2 status", "status says who reaches what", status::says_who_reaches_what),
    case("status", "status says what answers", status::says_what_answers),
    case("status", "status notices what was changed behind its back", status::notices_changes),
    case("status", "status notices Docker in the other iptables", status::notices_the_other_variant)
        .needs(Need::BothVariants),
    case("status", "status lists what no rule covers", status::lists_what_no_rule_covers),
    case("status", "status knows where docker-proxy answers", status::knows_where_docker_proxy_answers)
        .iptables_only("it takes out a rule of iptables"),
    case(
        "status",
        "status knows published ports without Docker",
        status::knows_published_ports_without_docker,
    ),
    case(
        "S1 S2 S3 S4 S5 S7 S8 S10 S15",
        "random packets under random policies come out as explain says",
        random::explained,
    )
    .needs(Need::NfTables),
    case("init", "what containers publish is named, and opened by a line", words::drafted),
    case("diff", "who gains and who loses a port of a container", words::who_gains_and_loses),
    // Each raises a fixture of its own: the last.
    case(
        "explain",
        "what explain says of connections at random is so where Docker has no proxy",
        connections::explained_at_random,
    )
    .with(Daemon::WithoutProxy),
    case(
        "explain",
        "what explain says of connections at random is so where Docker makes no rules",
        connections::explained_at_random,
    )
    .with(Daemon::WithoutRules),
];
