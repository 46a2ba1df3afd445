//! What was measured, as a page with pictures.

use anyhow::Result;
use dockfw_lab::Engine;

use crate::effort::Effort;
use crate::grid::Grid;
use crate::policy::Spread;
use crate::rates::{FLOODS_TITLE, TRUSTED_TITLE, rules_title};
use crate::{limits, plot};

/// The page, and the pictures beside it by the names of their files.
pub(crate) struct Page {
    /// What it begins with: where and how it was measured.
    pub(crate) head: String,
    /// The limits and the figures.
    pub(crate) results: String,
    pub(crate) pictures: Vec<(String, String)>,
}

/// The page of a run. `machine` tells where it was, in lines of a list.
pub(crate) fn page(grids: &[Grid], effort: &Effort, machine: &str) -> Result<Page> {
    let mut pictures = Vec::new();
    let mut tables = String::new();
    for grid in grids {
        tables += &grid.markdown();
        if let Some((name, picture)) = picture(grid)? {
            tables += &format!("\n![{}](pictures/{name})\n", grid.title);
            pictures.push((name, picture));
        }
        tables.push('\n');
    }
    let head = format!(
        "# What dockfw costs\n\n\
         Written by the last whole run of `./dev bench`: change what is measured, not this page.\n\n\
         {machine}\n{}\n",
        include_str!("../method.md")
    );
    let limits = limits::markdown(grids, effort);
    let results = format!("## Limits\n\n{limits}\n## Figures\n\n{}\n", tables.trim_end());
    Ok(Page { head, results, pictures })
}

/// The picture of a grid that has one.
fn picture(grid: &Grid) -> Result<Option<(String, String)>> {
    let scaled = [Engine::Native, Engine::Compat]
        .into_iter()
        .flat_map(|engine| [Spread::Ports, Spread::Sources].map(|spread| rules_title(engine, spread)));
    let drawn = match grid.title {
        FLOODS_TITLE => Some(("floods".to_owned(), plot::bars(grid)?)),
        TRUSTED_TITLE => Some(("connections".to_owned(), plot::bars(grid)?)),
        title => match scaled.into_iter().position(|one| one == title) {
            Some(number) => Some((format!("rules-{}", number + 1), plot::lines(grid, "rules")?)),
            None => None,
        },
    };
    Ok(drawn.map(|(name, picture)| (format!("bench-{name}.svg"), picture)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_on_the_page_that_it_belongs_to() {
        let title = rules_title(Engine::Compat, Spread::Sources);
        let mut grid = Grid::new(title, "Thousands", &[]);
        grid.add("SYN", "10 rules", 4.0);
        grid.add("SYN", "100 rules", 3.0);
        let page = page(&[grid, Grid::new("Other", "Milliseconds", &[])], &Effort::QUICK, "- date: today\n")
            .unwrap();
        assert_eq!(page.pictures.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["bench-rules-4.svg"]);
        assert!(page.results.contains("(pictures/bench-rules-4.svg)") && page.head.contains("- date: today"));
        assert_eq!(page.results.matches("![").count(), 1, "the other has none");
    }
}
