//! `dockfw show`

use std::path::Path;

use dockfw_policy::Strictness;
use dockfw_policy::compile::compile;
use dockfw_policy::nft::{self, Features};

use super::load;
use crate::cli::{Format, Show};
use crate::engines::listing_of_iptables;
use crate::exit::Exit;
use crate::output::write;

/// Prints the compiled policy.
pub(crate) fn run(config: &Path, options: &Show) -> anyhow::Result<Exit> {
    // A policy that is only shown shuts nobody out.
    let policy = load(config, Strictness::Confirmed)?;
    let text = match options.format {
        Format::Nft => nft::lower(&compile(&policy), Features::ALL).to_string(),
        Format::Iptables => listing_of_iptables(&policy)?,
        Format::Json => serde_json::to_string_pretty(&compile(&policy))? + "\n",
    };
    write(text);
    Ok(Exit::Done)
}
