//! What the terminal shows: a screen that is drawn again in its place, or plain lines; and the summary.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use super::{
    Seconds,
    reader::{Column, Link},
};

/// How often a terminal is drawn, and how often a line is written.
const DRAWN: Duration = Duration::from_millis(200);
const WRITTEN: Duration = Duration::from_secs(1);
/// How wide a column is, and how many of its last numbers fit.
const WIDTH: usize = 32;
const SHOWN: usize = 6;

/// Both columns at one moment.
#[derive(Debug)]
pub(super) struct Moment {
    /// How long the demo has been running.
    pub(super) time: Duration,
    pub(super) direct: Column,
    pub(super) respool: Column,
    pub(super) cuts: u64,
    /// The network is cut.
    pub(super) down: bool,
}

impl Moment {
    /// The right side is whole, and a run of at least `proof` has seen it lose its connection.
    pub(super) fn is_proof(&self, proof: Duration) -> bool {
        let tried = self.cuts > 0 && self.respool.losses > 0;
        self.respool.tally.whole().is_some() && (tried || self.time < proof)
    }
}

/// Where it is shown.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    /// Lines that were drawn last, and are drawn over next.
    drawn: usize,
}

impl Screen {
    pub(super) fn new(terminal: bool) -> Self {
        Self { terminal, drawn: 0 }
    }

    /// From one drawing to the next.
    pub(super) fn pause(&self) -> Duration {
        if self.terminal { DRAWN } else { WRITTEN }
    }

    /// Says where the page is and what is going to be seen.
    pub(super) fn open(&self, out: &mut impl Write, page: SocketAddr) -> io::Result<()> {
        writeln!(out, "The demo's page: http://{page}/  (Ctrl-C ends it)")?;
        writeln!(out, "A small event server counts, without ids and without replay. Two readers, over a")?;
        writeln!(out, "network that is cut again and again: one direct, one through respool.\n")?;
        out.flush()
    }

    /// Shows this moment.
    pub(super) fn draw(&mut self, out: &mut impl Write, moment: &Moment) -> io::Result<()> {
        if !self.terminal {
            writeln!(out, "{}", line(moment))?;
            return out.flush();
        }
        let mut text = String::new();
        if self.drawn > 0 {
            // Up to where the last one began.
            let _ = write!(text, "\x1b[{}A", self.drawn);
        }
        let rows = rows(moment);
        for row in &rows {
            let _ = writeln!(text, "\x1b[2K{row}");
        }
        self.drawn = rows.len();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Shows the last moment, and says in words what came of it.
    pub(super) fn summary(&mut self, out: &mut impl Write, moment: &Moment) -> io::Result<()> {
        if self.terminal {
            self.draw(out, moment)?;
        }
        write!(out, "\n{}", summary(moment))?;
        out.flush()
    }
}

/// A moment on one line.
fn line(moment: &Moment) -> String {
    let column = |column: &Column| {
        let tally = &column.tally;
        let mut text = format!("{:>4} received {:>4} missing", tally.received, tally.missing);
        for (count, what) in [(tally.repeated, "repeated"), (tally.late, "out of order")] {
            if count > 0 {
                let _ = write!(text, " {count} {what}");
            }
        }
        text
    };
    let time = Seconds(moment.time).to_string();
    let (direct, respool) = (column(&moment.direct), column(&moment.respool));
    let down = if moment.down { " (cut now)" } else { "" };
    format!("{time:>8}   direct {direct} | through respool {respool} | {}{down}", times(moment.cuts, "cut"))
}

/// A moment on a screen.
fn rows(moment: &Moment) -> Vec<String> {
    let Moment { direct, respool, .. } = moment;
    let row = |name: &str, left: String, right: String| {
        format!("  {name:<10} {left:<WIDTH$} {right:<WIDTH$}").trim_end().to_owned()
    };
    let count =
        |name: &str, of: fn(&Column) -> u64| row(name, of(direct).to_string(), of(respool).to_string());
    let network = if moment.down { "cut" } else { "up" };
    vec![
        row("", "direct".into(), "through respool".into()),
        count("received", |column| column.tally.received),
        count("missing", |column| column.tally.missing),
        count("repeated", |column| column.tally.repeated + column.tally.late),
        row("connection", link(direct).into(), link(respool).into()),
        row("last", last(direct), last(respool)),
        String::new(),
        format!("  {}, {}; the network is {network}", Seconds(moment.time), times(moment.cuts, "cut")),
    ]
}

fn link(column: &Column) -> &'static str {
    match column.link {
        Link::Away if column.losses > 0 => "lost, coming back",
        Link::Away => "connecting",
        Link::Open => "open",
        Link::Failed => "refused for good",
    }
}

/// The last numbers, with dots where some are missing.
fn last(column: &Column) -> String {
    let mut text = String::new();
    let mut before = None;
    for &number in column.recent.iter().rev().take(SHOWN).rev() {
        let gap = before.is_some_and(|before| number > before + 1);
        let _ = write!(text, "{}{number} ", if gap { "... " } else { "" });
        before = Some(number);
    }
    text
}

/// What came of it, in words.
fn summary(moment: &Moment) -> String {
    let Moment { time, direct, respool, cuts, .. } = moment;
    let lost = |column: &Column| format!("connection lost {}", times(column.losses, "time"));
    let verdict = match respool.tally.whole() {
        Some(_) if *cuts == 0 => "whole, but the network was never cut: that proves nothing".to_owned(),
        Some((first, last)) => format!("whole: every number from {first} to {last}, once and in order"),
        None if respool.tally.received == 0 => "NOT whole: nothing was received".to_owned(),
        None => "NOT whole: that is a fault of respool's, please report it".to_owned(),
    };
    format!(
        "In {} the network was cut {}.\n\
         direct:          {}; {}\n\
         through respool: {}; {}\n\
         The right side is {verdict}.\n",
        Seconds(*time),
        times(*cuts, "time"),
        direct.tally,
        lost(direct),
        respool.tally,
        lost(respool),
    )
}

fn times(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(direct: &[u64], respool: &[u64], cuts: u64) -> Moment {
        let column = |numbers: &[u64]| {
            let mut column = Column { losses: cuts, ..Column::new() };
            numbers.iter().for_each(|&number| column.receive(number));
            column
        };
        let time = Duration::from_millis(7_040);
        Moment { time, direct: column(direct), respool: column(respool), cuts, down: false }
    }

    #[test]
    fn a_moment_is_a_line() {
        assert_eq!(
            line(&moment(&[1, 2, 5], &[1, 2, 3, 3], 2)),
            "   7.0 s   direct    3 received    2 missing \
             | through respool    4 received    0 missing 1 repeated | 2 cuts"
        );
    }

    #[test]
    fn a_moment_is_a_screen_that_fits() {
        let long: Vec<u64> = (1_000_000..1_000_100).step_by(2).collect();
        let rows = rows(&moment(&long, &long, 2));
        assert!(rows.iter().all(|row| row.len() < 80), "{rows:#?}");
        assert_eq!(last(&moment(&[1, 2, 5], &[], 0).direct), "1 2 ... 5 ");
    }

    #[test]
    fn it_is_drawn_over_what_was_drawn_before() {
        let (mut screen, moment, mut out) = (Screen::new(true), moment(&[1], &[1], 0), Vec::new());
        screen.draw(&mut out, &moment).unwrap();
        let first = String::from_utf8(std::mem::take(&mut out)).unwrap();
        screen.draw(&mut out, &moment).unwrap();
        let second = String::from_utf8(out).unwrap();
        assert_eq!(second, format!("\x1b[{}A{first}", first.lines().count()));
    }

    #[test]
    fn the_right_side_decides() {
        let proof = Duration::from_secs(5);
        assert!(moment(&[1, 3], &[1, 2, 3], 1).is_proof(proof));
        assert!(!moment(&[1, 2, 3], &[1, 3], 1).is_proof(proof));
        assert!(!moment(&[], &[], 1).is_proof(proof));
        // Without a cut only a short run is enough.
        assert!(!moment(&[1], &[1], 0).is_proof(proof));
        assert!(moment(&[1], &[1], 0).is_proof(Duration::from_secs(8)));
    }

    #[test]
    fn the_summary_is_in_words() {
        assert_eq!(
            summary(&moment(&[1, 3], &[1, 2, 3], 1)),
            "In 7.0 s the network was cut 1 time.\n\
             direct:          2 received, 1 missing, 0 repeated; connection lost 1 time\n\
             through respool: 3 received, 0 missing, 0 repeated; connection lost 1 time\n\
             The right side is whole: every number from 1 to 3, once and in order.\n"
        );
        assert!(summary(&moment(&[1], &[1, 3], 1)).contains("The right side is NOT whole"));
    }
}
