//! Success over the stream as an SVG file: a line an arm, with the 95 % interval over streams as a band.
//!
//! A point is the mean over ten tasks, the last of them on the axis.

use super::mean::Mean;
use super::report::Report;
use std::fmt::Write;

/// The arms that are drawn, with their colours.
const DRAWN: [(&str, &str); 8] = [
    ("symbolic", "#777777"),
    ("successes_and_failures", "#1b7837"),
    ("kv_logs_and_failures", "#762a83"),
    ("avoid_only_failures", "#5aae61"),
    ("kv_logs", "#9970ab"),
    ("successes", "#2166ac"),
    ("irrelevant_items", "#b35806"),
    ("none", "#b2182b"),
];
const WINDOW: usize = 10;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 30.0;
/// The right margin has the names of the lines.
const RIGHT: f64 = 190.0;
const BOTTOM: f64 = 40.0;

/// The drawing; of arms that were not lived nothing is drawn.
pub(super) fn svg(report: &Report) -> String {
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let n_tasks = DRAWN.iter().filter_map(|(arm, _)| report.streams(arm)).map(|s| s[0].success.len()).max();
    let n_tasks = n_tasks.unwrap_or(WINDOW).max(WINDOW + 1);
    axes(&mut out, n_tasks);
    let mut names = Vec::new();
    for (arm, colour) in DRAWN {
        let Some(streams) = report.streams(arm) else { continue };
        let points: Vec<(f64, Mean)> = (WINDOW..=streams[0].success.len())
            .map(|end| {
                let share = |tasks: &[u8]| tasks.iter().map(|done| f64::from(*done)).sum::<f64>() / WINDOW as f64;
                let numbers: Vec<f64> =
                    streams.iter().filter_map(|stream| stream.success.get(end - WINDOW..end)).map(share).collect();
                (x(end, n_tasks), Mean::of(&numbers))
            })
            .collect();
        line(&mut out, &points, colour);
        if let Some((_, last)) = points.last() {
            names.push((y(last.mean), arm, colour));
        }
    }
    label(&mut out, names);
    out.push_str("</svg>\n");
    out
}

fn x(task: usize, n_tasks: usize) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * (task - WINDOW) as f64 / (n_tasks - WINDOW) as f64
}

fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share.clamp(0.0, 1.0)
}

fn axes(out: &mut String, n_tasks: usize) {
    let right = WIDTH - RIGHT;
    for tenth in (0..=10).step_by(2) {
        let (at, percent) = (y(tenth as f64 / 10.0), tenth * 10);
        let _ = writeln!(out, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent}</text>", LEFT - 6.0, at + 4.0);
    }
    for task in (WINDOW..=n_tasks).step_by(10) {
        let (at, below) = (x(task, n_tasks), HEIGHT - BOTTOM + 16.0);
        let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{task}</text>");
    }
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"18\">tasks done, % of the last ten</text>");
    let middle = (LEFT + right) / 2.0;
    let _ =
        writeln!(out, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">task of the stream</text>", HEIGHT - 6.0);
}

fn line(out: &mut String, points: &[(f64, Mean)], colour: &str) {
    let at = |x: f64, share: f64| format!("{x:.1},{:.1}", y(share));
    let upper = points.iter().map(|(x, mean)| at(*x, mean.mean + mean.half));
    let lower = points.iter().rev().map(|(x, mean)| at(*x, mean.mean - mean.half));
    let band: Vec<String> = upper.chain(lower).collect();
    let middle: Vec<String> = points.iter().map(|(x, mean)| at(*x, mean.mean)).collect();
    let _ = writeln!(out, "<polygon points=\"{}\" fill=\"{colour}\" opacity=\"0.15\"/>", band.join(" "));
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        middle.join(" ")
    );
}

/// Names beside the ends of their lines, moved apart where they would touch.
fn label(out: &mut String, mut names: Vec<(f64, &str, &str)>) {
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    for (at, arm, colour) in names {
        let at = at.max(free);
        free = at + 15.0;
        let (left, name) = (WIDTH - RIGHT + 6.0, arm.replace('_', " "));
        let _ = writeln!(out, "<text x=\"{left}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", at + 4.0);
    }
}
