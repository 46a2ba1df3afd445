//! Grids as pictures.

use std::error::Error;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::grid::Grid;

const WIDTH: u32 = 900;
/// The height of a picture with axes.
const HEIGHT: u32 = 420;
const FONT: &str = "sans-serif";
/// The height of a title with what the colours mean, and the width of rows' names.
const TITLE: u32 = 56;
const NAMES: u32 = 220;
/// How thick a bar is, and what is left free below those of a row.
const BAR: u32 = 5;
const GAP: u32 = 10;

/// The colour of the series with this number (Okabe and Ito's, which the colour-blind tell apart).
fn colour(number: usize) -> RGBColor {
    const COLOURS: [RGBColor; 7] = [
        RGBColor(0, 0, 0),
        RGBColor(230, 159, 0),
        RGBColor(86, 180, 233),
        RGBColor(0, 158, 115),
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(204, 121, 167),
    ];
    COLOURS.get(number % COLOURS.len()).copied().unwrap_or(BLACK)
}

/// Lines over columns whose names are numbers, both axes logarithmic: one line for each row.
pub(crate) fn lines(grid: &Grid, along: &str) -> Result<String> {
    let points = |row: &String| -> Vec<(f64, f64)> {
        let point = |column: &String| Some((figure(column)?, grid.median(row, column)?));
        grid.columns().iter().filter_map(point).collect()
    };
    let series: Vec<_> = grid.rows().iter().map(|row| (row.clone(), points(row))).collect();
    draw(HEIGHT, |area| draw_lines(area, grid, along, &series))
}

/// Bars for each row, one for each column.
pub(crate) fn bars(grid: &Grid) -> Result<String> {
    let [rows, columns] = [grid.rows(), grid.columns()].map(|names| u32::try_from(names.len()));
    let height = TITLE + rows? * (columns? * BAR + GAP);
    draw(height, |area| draw_bars(area, grid))
}

/// The number in the name of a column: 1,000 in `1,000 rules`.
fn figure(column: &str) -> Option<f64> {
    column.split(' ').next()?.replace(',', "").parse().ok()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<(), Box<dyn Error>>;

fn draw(height: u32, work: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
    let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| work(&area));
    let drawn = drawn.and_then(|()| area.present().map_err(Into::into));
    drop(area);
    drawn.map_err(|error| anyhow!("cannot draw: {error}"))?;
    Ok(text)
}

/// From the least to the greatest of some numbers, with a margin.
fn span(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let (least, greatest) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    least / 1.5..greatest * 1.5
}

fn draw_lines(area: &Area<'_>, grid: &Grid, along: &str, series: &[(String, Vec<(f64, f64)>)]) -> Drawn {
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let (x, y) = (span(all().map(|(x, _)| x)), span(all().map(|(_, y)| y)));
    let mut chart = ChartBuilder::on(area)
        .caption(grid.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart.configure_mesh().max_light_lines(0).x_desc(along).y_desc(grid.unit).draw()?;
    for (number, (name, points)) in series.iter().enumerate() {
        let style = colour(number).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let labels = SeriesLabelPosition::LowerLeft;
    chart
        .configure_series_labels()
        .position(labels)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// Bars from left to right, by pixels: a chart's axes have no room for names as long as those of rows.
fn draw_bars(area: &Area<'_>, grid: &Grid) -> Drawn {
    let (title, body) = area.split_vertically(TITLE);
    title.draw(&Text::new(format!("{}: {}", grid.title, grid.unit), (12, 8), (FONT, 18)))?;
    let legends = title.split_evenly((1, grid.columns().len().max(1)));
    for (number, (column, place)) in grid.columns().iter().zip(&legends).enumerate() {
        place.draw(&bar([12, 34, 22, 44], colour(number)))?;
        place.draw(&Text::new(column.clone(), (26, 33), (FONT, 12)))?;
    }
    let median = |row: &String, column: &String| grid.median(row, column).unwrap_or_default();
    let medians = |row: &String| grid.columns().iter().map(|column| median(row, column)).collect::<Vec<_>>();
    let most = grid.rows().iter().flat_map(medians).fold(0.0, f64::max);
    for (row, place) in grid.rows().iter().zip(body.split_evenly((grid.rows().len().max(1), 1))) {
        draw_row(&place, row, &medians(row).into_iter().map(|median| median / most).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The bars of a row, by their shares of the longest one.
fn draw_row(area: &Area<'_>, row: &str, shares: &[f64]) -> Drawn {
    let (names, bars) = area.split_horizontally(NAMES);
    let (width, height) = bars.dim_in_pixel();
    names.draw(&Text::new(row.to_owned(), (12, i32::try_from(height)? / 2 - 7), (FONT, 12)))?;
    for (number, share) in shares.iter().enumerate() {
        let top = i32::try_from(number)? * i32::try_from(BAR)?;
        let right = (share * f64::from(width - 12)) as i32;
        bars.draw(&bar([0, top, right, top + i32::try_from(BAR)?], colour(number)))?;
    }
    Ok(())
}

fn bar([left, top, right, bottom]: [i32; 4], colour: RGBColor) -> Rectangle<(i32, i32)> {
    Rectangle::new([(left, top), (right, bottom)], colour.filled())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new("Floods", "packets", &[]);
        for (column, sample) in [("10 rules", 800.0), ("1,000 rules", 700.0)] {
            grid.add("SYN <one>", column, sample);
            grid.add("UDP", column, sample / 2.0);
        }
        grid
    }

    #[test]
    fn columns_are_numbers_where_they_are_an_axis() {
        assert_eq!(["1,000 rules", "0", "no firewall"].map(figure), [Some(1000.0), Some(0.0), None]);
    }

    #[test]
    fn every_row_is_a_line() {
        let picture = lines(&grid(), "rules").unwrap();
        assert!(picture.starts_with("<svg ") && picture.contains("UDP") && picture.contains("&lt;one&gt;"));
        assert!(picture.matches("<polyline").count() >= 2);
    }

    #[test]
    fn every_cell_is_a_bar() {
        let picture = bars(&grid()).unwrap();
        let colours =
            [colour(0), colour(1)].map(|RGBColor(r, g, b)| format!("fill=\"#{r:02X}{g:02X}{b:02X}\""));
        // Two rows, and the legend; black is the colour of words too.
        assert!(picture.matches(&colours[0]).count() >= 3, "{picture}");
        assert_eq!(picture.matches(&colours[1]).count(), 3, "{picture}");
    }
}
