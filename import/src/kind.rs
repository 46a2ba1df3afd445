//! The kind of a file, recognised by its contents.

use super::Input;
use super::findings::{Fault, Place, quoted};
use super::lines::{shown_name, without_mark};

/// What can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For `ipset restore`.
    Sets,
    /// For `iptables-restore`, or what `iptables -S` lists.
    Rules,
    /// Variables of Ansible.
    Variables,
}

/// Something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    line: usize,
    text: String,
    help: &'static str,
}

/// The beginning of the names of the role's variables.
pub(crate) const PREFIX: &str = "iptables_docker_";

const USUAL: &str = "import one of these: an ip_allow.set, a rules file for iptables-restore, or Ansible variables that begin with \
                     iptables_docker_";

/// Decides by the first meaningful line, except for variables, which may be anywhere.
pub(crate) fn of(bytes: &[u8]) -> Result<Kind, Unknown> {
    let bytes = without_mark(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let mut telling = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    let Some((index, first)) = telling.next() else {
        return Err(Unknown { line: 1, text: String::new(), help: USUAL });
    };
    let first = String::from_utf8_lossy(first.get(..first.len().min(200)).unwrap_or(first)).into_owned();
    match of_line(&first) {
        Some(kind) => Ok(kind),
        None if holds(bytes, PREFIX.as_bytes()) => Ok(Kind::Variables),
        None => Err(Unknown { line: index + 1, help: advice(&first), text: first }),
    }
}

fn of_line(line: &str) -> Option<Kind> {
    let word = line.split_whitespace().next().unwrap_or_default();
    match word {
        "create" | "add" | "flush" | "del" | "destroy" => Some(Kind::Sets),
        "-A" | "-I" | "-N" | "-P" | "-F" => Some(Kind::Rules),
        _ if word.starts_with('*') || is_chain(line) => Some(Kind::Rules),
        _ => None,
    }
}

/// Returns whether a line is like `:INPUT ACCEPT [0:0]` or `[0:0] -A INPUT`.
fn is_chain(line: &str) -> bool {
    line.starts_with(':') || (line.starts_with('[') && line.contains("] -A "))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Returns advice for files that people try first.
fn advice(first: &str) -> &'static str {
    if first.starts_with("Name: ") {
        "this is what `ipset list` prints; import what `ipset save` prints"
    } else if first.starts_with("Chain ") {
        "this is what `iptables -L` prints; import what `iptables-save` prints"
    } else if first.starts_with("table ") {
        "this is a ruleset of nft, which can't be imported"
    } else {
        USUAL
    }
}

impl Unknown {
    pub(crate) fn fault(&self, input: &Input) -> Fault {
        let place = Place::new(&shown_name(input), self.line);
        let what = if self.text.is_empty() {
            "the file is empty".into()
        } else {
            format!("not a kind of file that dockfw can import; it begins with {}", quoted(&self.text))
        };
        Fault::new(&place, what, self.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_by_their_content() {
        for (text, kind) in [
            ("# x\r\n\r\ncreate -exist ip_allow hash:ip\r\n", Kind::Sets),
            ("flush\nadd a 1", Kind::Sets),
            ("\u{feff}*filter\n", Kind::Rules),
            (":INPUT ACCEPT [0:0]\n", Kind::Rules),
            ("[1:2] -A INPUT -j FILTERS\n", Kind::Rules),
            ("-P INPUT ACCEPT\n-N FILTERS\n", Kind::Rules),
            ("---\niptables_docker_managed: true\n", Kind::Variables),
            ("- hosts: all\n  vars:\n    iptables_docker_managed: true\n", Kind::Variables),
        ] {
            assert_eq!(of(text.as_bytes()), Ok(kind), "{text}");
        }
    }

    #[test]
    fn others_get_advice() {
        for (text, part) in [
            ("", "import one of these"),
            ("# nothing\n", "import one of these"),
            ("Name: ip_allow\nType: hash:ip\n", "ipset save"),
            ("Chain INPUT (policy ACCEPT)\n", "iptables-save"),
            ("table inet filter {\n", "nft"),
            ("trusted = []\n", "import one of these"),
            ("\u{0}\u{1}\u{ff}", "import one of these"),
        ] {
            assert!(of(text.as_bytes()).unwrap_err().help.contains(part), "{text}");
        }
    }
}
