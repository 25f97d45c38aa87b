//! What was measured, beside its goal.

use std::fmt;

/// One figure and its goal.
pub(crate) struct Row {
    what: String,
    today: f64,
    goal: f64,
    is_floor: bool,
    unit: &'static str,
}

impl Row {
    /// A figure that must not be higher.
    pub(crate) fn at_most(what: &str, today: f64, goal: f64, unit: &'static str) -> Self {
        Self { what: what.to_owned(), today, goal, is_floor: false, unit }
    }

    /// A figure that must not be lower.
    pub(crate) fn at_least(what: &str, today: f64, goal: f64, unit: &'static str) -> Self {
        Self { what: what.to_owned(), today, goal, is_floor: true, unit }
    }

    fn is_met(&self) -> bool {
        if self.is_floor { self.today >= self.goal } else { self.today <= self.goal }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, today, goal, is_floor, unit } = self;
        let (sign, met) = (if *is_floor { "≥" } else { "≤" }, if self.is_met() { "met" } else { "missed" });
        write!(f, "| {what} | {today:.2} {unit} | {sign} {goal} | {met} |")
    }
}
