//! `dockfw show`

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use dockfw_policy::compile::compile;
use dockfw_policy::nft::{self, Features};

use super::load;
use crate::cli::{Format, Show};
use crate::exit::Exit;

/// Prints the compiled policy.
pub(crate) fn run(config: &Path, options: &Show) -> anyhow::Result<Exit> {
    // What is only shown shuts nobody out.
    let ruleset = compile(&load(config, true)?);
    let mut out = io::BufWriter::new(io::stdout().lock());
    match options.format {
        Format::Nft => write!(out, "{}", nft::lower(&ruleset, Features::ALL)).map_err(anyhow::Error::new),
        Format::Json => serde_json::to_writer_pretty(&mut out, &ruleset).map_err(anyhow::Error::new),
    }
    .and_then(|()| Ok(writeln!(out).and_then(|()| out.flush())?))
    .context("can't write the rules")?;
    Ok(Exit::Done)
}
