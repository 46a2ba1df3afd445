//! The contenders, each put in force and taken out again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use dockfw_lab::{Engine, run_with_input};

use crate::field::{FLOODED, Field, drop_at};
use crate::policy::Size;

/// The programs that are measured.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) dockfw: PathBuf,
    /// That of an earlier version, to compare with.
    pub(crate) earlier: Option<PathBuf>,
}

/// Something between the world and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Firewall {
    /// All is dropped where a packet is first seen: nothing can be faster.
    Limit,
    /// Nothing but Docker's own rules.
    Nothing,
    /// The rules of the Ansible role before dockfw.
    Role,
    Dockfw(Dockfw),
}

/// An engine of this program, or of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dockfw {
    /// That of its column.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) engine: Engine,
}

/// The names of columns.
pub(crate) const LIMIT: &str = "ingress limit";
pub(crate) const NOTHING: &str = "no firewall";
pub(crate) const ROLE: &str = "old role";

impl Programs {
    /// The engines of this program.
    pub(crate) fn own(&self) -> [Dockfw; 2] {
        engines("", &self.dockfw)
    }

    /// These, and those of the earlier one.
    pub(crate) fn engines(&self) -> Vec<Dockfw> {
        let earlier = self.earlier.iter().flat_map(|program| engines("earlier ", program));
        self.own().into_iter().chain(earlier).collect()
    }
}

fn engines(prefix: &str, program: &Path) -> [Dockfw; 2] {
    Engine::BOTH.map(|engine| Dockfw {
        name: format!("{prefix}{engine}"),
        program: program.to_owned(),
        engine,
    })
}

impl Firewall {
    /// Puts a policy of this size in force.
    pub(crate) fn enter(&self, field: &Field<'_>, size: Size) -> Result<()> {
        match self {
            Self::Limit => drop_at(&field.lab.host, FLOODED),
            Self::Nothing => Ok(()),
            Self::Role => enter_role(field, size),
            Self::Dockfw(dockfw) => apply(field, dockfw, size),
        }
        .with_context(|| format!("cannot put {self:?} in force"))
    }

    /// Leaves the host as it was.
    pub(crate) fn leave(&self, field: &Field<'_>) -> Result<()> {
        match self {
            Self::Limit => field.lab.host.nft("delete table netdev dropped"),
            Self::Nothing => Ok(()),
            Self::Role => leave_role(field),
            Self::Dockfw(Dockfw { program, .. }) => {
                dockfw_lab::run(field.lab.command(program).args(["--config", POLICY, "remove"])).map(drop)
            }
        }?;
        field.forget()
    }
}

/// Where policies lie; `/etc` is the lab's own.
pub(crate) const POLICY: &str = "/etc/dockfw/dockfw.toml";

fn apply(field: &Field<'_>, dockfw: &Dockfw, size: Size) -> Result<()> {
    write_policy(size)?;
    let mut command = field.lab.command(&dockfw.program);
    command.args(["--config", POLICY, "apply", "--force", "--backend", dockfw.engine.backend()]);
    dockfw_lab::run(&mut command).map(drop)
}

/// Writes a policy of this size to where dockfw looks for it.
pub(crate) fn write_policy(size: Size) -> Result<()> {
    let file = Path::new(POLICY);
    let directory = file.parent().context("no directory")?;
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("trusted"), size.trusted().join("\n"))?;
    Ok(std::fs::write(file, size.policy())?)
}

fn enter_role(field: &Field<'_>, size: Size) -> Result<()> {
    feed(field, "ipset", &["restore"], &size.role_set())?;
    feed(field, "iptables-restore", &["--noflush"], &Size::role_rules())
}

fn leave_role(field: &Field<'_>) -> Result<()> {
    let rules = "*filter\n-D INPUT -j FILTERS\n-F FILTERS\n-X FILTERS\n-F DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
    feed(field, "iptables-restore", &["--noflush"], rules)?;
    field.lab.on_host("ipset", &["destroy", "ip_allow"]).map(drop)
}

fn feed(field: &Field<'_>, program: &str, arguments: &[&str], input: &str) -> Result<()> {
    run_with_input(field.lab.command(program).args(arguments), input.as_bytes()).map(drop)
}
