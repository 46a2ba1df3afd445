//! The keys that a policy may have, and what each of them wants.

use crate::suggest::closest;

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// The key with its table, as in `icmp.echo`; those of an `[[allow]]` stand alone.
    pub(super) path: &'static str,
    /// What its value is.
    pub(super) wanted: &'static str,
    /// How it is written.
    pub(super) example: &'static str,
}

impl Key {
    const fn new(path: &'static str, wanted: &'static str, example: &'static str) -> Self {
        Self { path, wanted, example }
    }

    /// The key alone, as in `echo`.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Table {
    /// The table, for people.
    pub(super) what: &'static str,
    /// Its keys.
    pub(super) keys: &'static [Key],
}

impl Table {
    /// The key of this name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name() == name)
    }

    /// The names of its keys.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(Key::name).collect()
    }

    /// The key that was probably meant.
    pub(super) fn closest(&self, typed: &str) -> Option<&'static str> {
        closest(typed, self.names())
    }
}

const LIST: &str = "a list of texts";
const TABLE: &str = "a table";
const TEXT: &str = "a text";
const BOOLEAN: &str = "`true` or `false`";
const NUMBER: &str = "a whole number";

/// The keys outside of any table, tables among them.
pub(super) static TOP: Table = Table {
    what: "a policy",
    keys: &[
        Key::new("trusted", LIST, r#"trusted = ["203.0.113.7", "198.51.100.0/24"]"#),
        Key::new("blocked", LIST, r#"blocked = ["203.0.113.7", "198.51.100.0/24"]"#),
        Key::new("groups", TABLE, r#"[groups], and below it lines as office = ["192.0.2.0/24"]"#),
        Key::new(
            "allow",
            "one or more [[allow]] tables",
            "[[allow]] with double brackets, and its keys below it",
        ),
        Key::new("interfaces", TABLE, r#"[interfaces], and below it lines as docker = ["docker0", "br-*"]"#),
        Key::new("icmp", TABLE, r#"[icmp], and below it echo = "accept""#),
        Key::new("swarm", TABLE, r#"[swarm], and below it lines as peers = ["192.0.2.1"]"#),
        Key::new("log", TABLE, "[log], and below it lines as drops = true"),
        Key::new("engine", TABLE, r#"[engine], and below it lines as backend = "auto""#),
    ],
};

/// The keys of an `[[allow]]`.
pub(super) static ALLOW: Table = Table {
    what: "an [[allow]]",
    keys: &[
        Key::new("name", TEXT, r#"name = "web""#),
        Key::new("from", LIST, r#"from = ["office", "203.0.113.7"]"#),
        Key::new("ports", LIST, r#"ports = ["80/tcp", "443/tcp"]"#),
        Key::new("to", TEXT, r#"to = "host""#),
    ],
};

/// The keys of `[interfaces]`.
pub(super) static INTERFACES: Table = Table {
    what: "[interfaces]",
    keys: &[
        Key::new("interfaces.filtered", LIST, r#"filtered = ["*"]"#),
        Key::new("interfaces.exempt", LIST, r#"exempt = ["wg0"]"#),
        Key::new("interfaces.docker", LIST, r#"docker = ["docker0", "docker_gwbridge", "br-*"]"#),
    ],
};

/// The keys of `[icmp]`.
pub(super) static ICMP: Table =
    Table { what: "[icmp]", keys: &[Key::new("icmp.echo", TEXT, r#"echo = "accept" or echo = "trusted""#)] };

/// The keys of `[swarm]`.
pub(super) static SWARM: Table = Table {
    what: "[swarm]",
    keys: &[
        Key::new("swarm.peers", LIST, r#"peers = ["192.0.2.1", "192.0.2.2"]"#),
        Key::new("swarm.data_path_port", NUMBER, "data_path_port = 4789"),
    ],
};

/// The keys of `[log]`.
pub(super) static LOG: Table = Table {
    what: "[log]",
    keys: &[
        Key::new("log.drops", BOOLEAN, "drops = true"),
        Key::new("log.rate", TEXT, r#"rate = "10/second""#),
    ],
};

/// The keys of `[engine]`.
pub(super) static ENGINE: Table = Table {
    what: "[engine]",
    keys: &[
        Key::new("engine.backend", TEXT, r#"backend = "auto""#),
        Key::new("engine.prefilter", BOOLEAN, "prefilter = true"),
    ],
};

/// A group; its name is the operator's.
pub(super) static GROUP: Key = Key::new("groups", LIST, r#"office = ["192.0.2.0/24", "file:lists/vpn.txt"]"#);
