//! What a machine's first process wrote (`guest/init`): steps, each between two marks.

use std::time::Duration;

/// A step that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    /// What it wrote.
    pub(super) output: String,
    /// Its exit code and how long it took; nothing where the machine ended before it.
    pub(super) end: Option<(i32, Duration)>,
}

/// All steps of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    steps: Vec<Step>,
    /// Whether it came to its end.
    pub(super) done: bool,
}

impl Steps {
    /// Reads what it wrote.
    pub(super) fn read(results: &str) -> Self {
        let mut steps = Self::default();
        results.lines().map(str::trim_end).for_each(|line| steps.take(line));
        steps
    }

    fn take(&mut self, line: &str) {
        let running = self.steps.last_mut().filter(|step| step.end.is_none());
        if let Some(name) = line.strip_prefix("@@begin ") {
            self.steps.push(Step { name: name.to_owned(), output: String::new(), end: None });
        } else if line == "@@done" {
            self.done = true;
        } else if let Some(step) = running {
            match end(line, &step.name) {
                None => step.output += &format!("{line}\n"),
                end => step.end = end,
            }
        }
    }

    /// The step of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The last one that was begun.
    pub(super) fn last(&self) -> Option<&Step> {
        self.steps.last()
    }
}

impl Step {
    /// Its exit code.
    pub(super) fn code(&self) -> Option<i32> {
        self.end.map(|(code, _)| code)
    }

    /// How long it took if it did what it should.
    pub(super) fn success(&self) -> Option<Duration> {
        self.end.filter(|(code, _)| *code == 0).map(|(_, took)| took)
    }
}

/// `@@end NAME CODE MILLISECONDS`
fn end(line: &str, name: &str) -> Option<(i32, Duration)> {
    let rest = line.strip_prefix("@@end ")?.strip_prefix(name)?.trim_start();
    let (code, took) = rest.split_once(' ')?;
    Some((code.parse().ok()?, Duration::from_millis(took.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_output_an_exit_code_and_a_time() {
        let steps = Steps::read("noise\n@@begin native apply\r\na\nb\n\n@@end native apply 3 1250\n@@done\n");
        let step = steps.get("native apply").unwrap();
        assert_eq!((step.output.as_str(), step.end), ("a\nb\n\n", Some((3, Duration::from_millis(1250)))));
        assert_eq!(step.success(), None);
        assert!(steps.done);
    }

    #[test]
    fn a_machine_may_end_within_a_step() {
        let steps =
            Steps::read("@@begin version\n6.1\n@@end version 0 10\n@@begin probe\n@@end version 0 1\n");
        assert_eq!(steps.last().unwrap().code(), None);
        assert_eq!(steps.get("version").unwrap().success(), Some(Duration::from_millis(10)));
        assert!(!steps.done);
    }
}
