//! Running other programs, with errors that carry what the program said.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

/// Runs `command` to its end and gives its standard output; a failure carries its standard error.
pub fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    succeeded(command, &output)
}

/// As [`run`], with `input` on the program's standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let stdin = child.stdin.take();
    // From a thread: a program that writes much before it has read all would otherwise wait for us, and we for it.
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            // An error here is the program's early end, which its status and standard error explain better.
            let _ = stdin.map(|mut pipe| pipe.write_all(input));
        });
        child.wait_with_output()
    })?;
    succeeded(command, &output)
        .map_err(|error| anyhow!("{error}\ninput was:\n{}", String::from_utf8_lossy(input)))
}

fn succeeded(command: &Command, output: &Output) -> Result<String> {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed, {}: {}{}", output.status, stdout, stderr.trim_end());
    }
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_carries_standard_error() {
        let error = run(Command::new("sh").args(["-c", "echo no luck >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("no luck"), "{error}");
    }

    #[test]
    fn input_reaches_the_program() {
        assert_eq!(run_with_input(&mut Command::new("cat"), b"hello").unwrap(), "hello");
    }
}
