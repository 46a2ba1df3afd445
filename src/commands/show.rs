//! `dockfw show`

use std::path::Path;

use dockfw_compat::Rendering;
use dockfw_policy::Strictness;
use dockfw_policy::compile::compile;
use dockfw_policy::nft::{self, Features};
use dockfw_policy::policy::Policy;

use super::load;
use crate::cli::{Format, Show};
use crate::engines::{self, IPTABLES};
use crate::exit::Exit;
use crate::output::write;

/// Prints the compiled policy.
pub(crate) fn run(config: &Path, options: &Show) -> anyhow::Result<Exit> {
    // What is only shown shuts nobody out.
    let policy = load(config, Strictness::Confirmed)?;
    let text = match options.format {
        Format::Nft => nft::lower(&compile(&policy), Features::ALL).to_string(),
        Format::Iptables => iptables(&policy)?,
        Format::Json => serde_json::to_string_pretty(&compile(&policy))? + "\n",
    };
    write(text);
    Ok(Exit::Done)
}

/// The three texts one after the other, each behind a line that says which program reads it.
fn iptables(policy: &Policy) -> anyhow::Result<String> {
    let Rendering { ipset, iptables, ip6tables } =
        dockfw_compat::render(&engines::compile_for(IPTABLES, policy))?;
    Ok(format!(
        "# ipset restore\n{ipset}\n# iptables-restore --noflush\n{iptables}\n# ip6tables-restore --noflush\n{ip6tables}"
    ))
}
