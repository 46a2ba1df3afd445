//! The keys that a policy may have: what each of them wants, and what it means.
//!
//! Messages, [docs/policy.md and dockfw.toml(5)](crate::reference) say of a key what is said here.

use crate::suggest::closest;

/// A key.
#[derive(Debug)]
pub struct Key {
    /// The key with its table, as in `icmp.echo`; those of an `[[allow]]` stand alone.
    pub(super) path: &'static str,
    /// What its value is.
    pub(super) wanted: &'static str,
    /// How it is written.
    pub(super) example: &'static str,
    /// The value that it has where it is not typed, as one would type it; none where there is no such value.
    pub default: Option<&'static str>,
    /// What it means, in Markdown; nothing for tables whose keys say so.
    pub meaning: &'static str,
}

impl Key {
    const fn new(path: &'static str, wanted: &'static str, example: &'static str) -> Self {
        Self { path, wanted, example, default: None, meaning: "" }
    }

    const fn means(mut self, meaning: &'static str) -> Self {
        self.meaning = meaning;
        self
    }

    const fn by_default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The key alone, as in `echo`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// The table that it is in, as in `icmp`; none for those of an `[[allow]]` and for what is in no table.
    #[must_use]
    pub fn table(&self) -> Option<&'static str> {
        self.path.rsplit_once('.').map(|(table, _)| table)
    }

    /// The header of its table, as one would type it; none if it stands for no table.
    pub(super) fn header(&self) -> Option<String> {
        match self.name() {
            "allow" => Some("[[allow]]".into()),
            name => self.is_table().then(|| format!("[{name}]")),
        }
    }

    /// Whether it stands for a table.
    #[must_use]
    pub(crate) fn is_table(&self) -> bool {
        self.wanted == TABLE
    }
}

/// The keys of one table.
#[derive(Debug)]
pub struct Table {
    /// The table, for people.
    pub(super) what: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl Table {
    /// The key of this name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name() == name)
    }

    /// Whether its keys are outside of any table.
    pub(super) fn is_top(&self) -> bool {
        std::ptr::eq(self, &raw const TOP)
    }

    /// The names of its keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(Key::name).collect()
    }

    /// The key that was probably meant.
    pub(super) fn closest(&self, typed: &str) -> Option<&'static str> {
        let same = SYNONYMS.iter().find(|(others, _)| others.contains(&typed)).map(|(_, name)| *name);
        same.filter(|name| self.find(name).is_some()).or_else(|| closest(typed, self.names()))
    }
}

/// Words of other firewalls, and dockfw's keys that mean the same.
const SYNONYMS: [(&[&str], &str); 9] = [
    (&["allowlist", "whitelist", "allowed", "allow_from", "trust"], "trusted"),
    (&["blocklist", "blacklist", "denylist", "deny", "drop", "block", "banned"], "blocked"),
    (&["rule", "rules", "accept", "permit", "open"], "allow"),
    (&["source", "sources", "src", "saddr", "who"], "from"),
    (&["interface", "iface", "iif", "iifname", "device", "via"], "in"),
    (&["exclusive", "exclusively", "strict"], "only"),
    (&["service", "services", "dport", "dports"], "ports"),
    (&["target", "dest", "destination", "chain"], "to"),
    (&["comment", "description", "title", "id"], "name"),
];

pub(super) const LIST: &str = "a list of texts";
pub(super) const TABLE: &str = "a table";
pub(super) const TEXT: &str = "a text";
pub(super) const BOOLEAN: &str = "`true` or `false`";
pub(super) const NUMBER: &str = "a whole number";

/// Returns the key of this name outside of any table.
pub(super) fn top(name: &str) -> Option<&'static Key> {
    TOP.find(name)
}

/// Returns the key of this name in whatever table, if any has it. `name` may be a path, as in `icmp.echo`.
pub(super) fn any(name: &str) -> Option<&'static Key> {
    let name = name.rsplit('.').next().unwrap_or(name);
    [&TOP, &ALLOW, &INTERFACES, &ICMP, &SWARM, &LOG, &ENGINE].into_iter().find_map(|table| table.find(name))
}

/// Returns the headers of all tables, as one would type them.
pub(super) fn headers() -> String {
    TOP.keys.iter().filter_map(Key::header).collect::<Vec<_>>().join(", ")
}

/// The keys outside of any table, tables among them.
pub(crate) static TOP: Table = Table {
    what: "a policy",
    keys: &[
        Key::new("trusted", LIST, r#"trusted = ["203.0.113.7", "198.51.100.0/24"]"#).by_default("[]").means("Sources that reach everything: processes of the host, published ports, containers. `0.0.0.0/0` is refused without `--force`."),
        Key::new("blocked", LIST, r#"blocked = ["203.0.113.7", "198.51.100.0/24"]"#).by_default("[]").means("Sources from which nothing comes in by a filtered or an exempt interface, live connections included. Beats `trusted` and every rule. What comes in by Docker's bridges is not held against it, nor what inside interfaces send outwards."),
        Key::new("groups", TABLE, r#"groups.office = ["192.0.2.0/24"]"#).means("Lists with a name, for use in other lists. `containers` and `inside` are built-in names, for `from` only."),
        Key::new(
            "allow",
            "one or more [[allow]] tables",
            "[[allow]]",
        ),
        Key::new("interfaces", TABLE, r#"interfaces.docker = ["docker0", "br-*"]"#),
        Key::new("icmp", TABLE, r#"icmp.echo = "accept""#),
        Key::new("swarm", TABLE, r#"swarm.peers = ["192.0.2.1"]"#),
        Key::new("log", TABLE, "log.drops = true"),
        Key::new("engine", TABLE, r#"engine.backend = "auto""#),
    ],
};

/// The keys of an `[[allow]]`.
pub(crate) static ALLOW: Table = Table {
    what: "an [[allow]]",
    keys: &[
        Key::new("name", TEXT, r#"name = "web""#).means("How messages, counters and listings name the rule. Required, unique."),
        Key::new("from", LIST, r#"from = ["office", "203.0.113.7"]"#).means(r#"Who may. Without it: everyone. `"containers"`: what comes in by Docker's bridges. `"inside"`: what comes in by `[interfaces] inside`."#),
        Key::new("in", LIST, r#"in = ["wg0", "tailscale*"]"#).means("By which interfaces they come, a VPN's for example. Without it: any. One of Docker's bridges narrows `from = [\"containers\"]` to its network. An interface may come later."),
        Key::new("ports", LIST, r#"ports = ["80/tcp", "443/tcp"]"#).means("In Docker's notation: `80/tcp`, `8000-8010/udp`, `5060/sctp`; also `esp`, `gre`, `vrrp`, `ip/N`. Required."),
        Key::new("to", TEXT, r#"to = "host""#).means(r#"`"host"`: a process of the host. `"docker"`: a published port. Both by the number that clients dial. `"container"`: a container's own port, after translation or by direct routing. `"forward"`: what the host passes on to anything that is not Docker's, translated or routed, by the number that clients dial. Without it: host and docker."#),
        Key::new("only", BOOLEAN, "only = true").means("Whether these ports are for nobody else, trusted or not. Beats `trusted`, the peers of a Swarm, and every rule without `only`; `blocked` beats it. Rules with `only` for the same port add up. Needs `from` or `in`."),
    ],
};

/// The keys of `[interfaces]`.
pub(crate) static INTERFACES: Table = Table {
    what: "[interfaces]",
    keys: &[
        Key::new("interfaces.filtered", LIST, r#"filtered = ["*"]"#).by_default(r#"["*"]"#).means("Filtered. What fits no class at all is let through, and `check` names it."),
        Key::new("interfaces.exempt", LIST, r#"exempt = ["wg0"]"#).by_default("[]").means("Let through, but for blocked sources and impossible addresses: a VPN whose members are all trusted."),
        Key::new("interfaces.docker", LIST, r#"docker = ["docker0", "docker_gwbridge", "br-*"]"#).by_default(r#"["docker0", "docker_gwbridge", "br-*"]"#).means("Docker's bridges. Only kernel bridges count. Networks with a bridge name of their own need a line here."),
        Key::new("interfaces.inside", LIST, r#"inside = ["virbr0", "podman*"]"#).by_default("[]").means("Other networks behind this host: virtual machines, containers that are not Docker's, a LAN. What comes from them, by sources that this host routes to them, passes outwards; to the host, to published ports and containers, and to one another, as rules say. What one pattern takes in is one network."),
        Key::new("interfaces.crossing", LIST, r#"crossing = ["vmbr0"]"#).by_default("[]").means("Bridges between an uplink and machines of their own addresses, as virtual machines on a Proxmox host. Frames that only cross such a bridge pass; what is for the host, or passed on to another interface, is filtered."),
    ],
};

/// The keys of `[icmp]`.
pub(crate) static ICMP: Table = Table {
    what: "[icmp]",
    keys: &[Key::new("icmp.echo", TEXT, r#"echo = "accept""#)
        .by_default(r#""accept""#)
        .means(r#"Who may ping the host: everyone, or `"trusted"` sources only."#)],
};

/// The keys of `[swarm]`.
pub(crate) static SWARM: Table = Table {
    what: "[swarm]",
    keys: &[
        Key::new("swarm.peers", LIST, r#"peers = ["192.0.2.1", "192.0.2.2"]"#).by_default("[]").means("The other nodes of a Swarm: management (2377/tcp), gossip (7946), VXLAN and ESP from these pass."),
        Key::new("swarm.data_path_port", NUMBER, "data_path_port = 4789").by_default("4789").means("As given to `docker swarm init --data-path-port`."),
    ],
};

/// The keys of `[log]`.
pub(crate) static LOG: Table = Table {
    what: "[log]",
    keys: &[
        Key::new("log.drops", BOOLEAN, "drops = true")
            .by_default("false")
            .means("Whether drops are written to the kernel's log, in lines that begin with the name of the counter, as in `dockfw drop_input: `."),
        Key::new("log.rate", TEXT, r#"rate = "10/second""#)
            .by_default(r#""10/second""#)
            .means("How many lines at the most, for each rule that drops."),
    ],
};

/// The keys of `[engine]`.
pub(crate) static ENGINE: Table = Table {
    what: "[engine]",
    keys: &[
        Key::new("engine.backend", TEXT, r#"backend = "auto""#)
            .by_default(r#""auto""#)
            .means(r#"`"auto"`, `"nftables"` or `"iptables"`."#),
        Key::new("engine.prefilter", BOOLEAN, "prefilter = true")
            .by_default("true")
            .means("Whether packets that nothing could let through are dropped early: TCP SYNs before connection tracking, others right after it."),
    ],
};

/// A group; its name is the operator's.
pub(crate) static GROUP: Key = Key::new("groups", LIST, r#"office = ["192.0.2.0/24", "file:lists/vpn.txt"]"#);
