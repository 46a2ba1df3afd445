//! `dockfw man`

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cli::Man;
use crate::exit::{Exit, Stop};
use crate::manual::{self, Page};
use crate::message::Message;
use crate::output::write;

/// Writes a page of the manual to stdout, or all of them into a directory.
pub(crate) fn run(options: &Man) -> anyhow::Result<Exit> {
    let pages = manual::pages()?;
    match &options.to {
        Some(directory) => write_all(&pages, directory)?,
        None => write(&find(&pages, &options.page)?.text),
    }
    Ok(Exit::Done)
}

fn find<'a>(pages: &'a [Page], asked: &str) -> Result<&'a Page, Stop> {
    manual::find(pages, asked).ok_or_else(|| {
        let names: Vec<_> = pages.iter().map(Page::name).collect();
        Stop::new(
            Exit::Usage,
            Message::new(format!("no manual page {asked:?}; there are: {}", names.join(", "))),
        )
    })
}

fn write_all(pages: &[Page], directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("can't create {}", directory.display()))?;
    for page in pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}
