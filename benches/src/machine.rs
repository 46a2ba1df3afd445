//! Where it was measured, and with what.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

/// Lines of a list in Markdown.
pub(crate) fn describe(dockfw: &Path) -> Result<String> {
    let first = |program: &str, arguments: &[&str]| -> String {
        let printed = dockfw_lab::run(Command::new(program).args(arguments)).unwrap_or_default();
        printed.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let lines = [
        ("date", first("date", &["-u", "+%Y-%m-%d"])),
        ("processors", processors(&cpus)),
        ("memory", field(&memory, "MemTotal").unwrap_or("unknown").to_owned()),
        ("kernel", first("uname", &["-srm"])),
        ("dockfw", first(&dockfw.to_string_lossy(), &["--version"])),
        ("nft", first("nft", &["--version"])),
        ("iptables", first("iptables-legacy", &["--version"])),
        ("ipset", first("ipset", &["--version"])),
        ("Docker", first("dockerd", &["--version"])),
    ];
    Ok(lines.map(|(what, which)| format!("- {what}: {which}\n")).concat())
}

/// How many there are, and of which kind.
fn processors(cpuinfo: &str) -> String {
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count}, {}", field(cpuinfo, "model name").unwrap_or("of a kind that the kernel does not name"))
}

/// What stands behind a name and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(processors(text), "2, Some CPU @ 2 GHz");
        assert_eq!(processors("processor: 0\n"), "1, of a kind that the kernel does not name");
    }
}
