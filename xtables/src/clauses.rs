//! Rules in a form in which two rules with the same meaning are equal.
//!
//! Versions of iptables write the same rule in different ways: options in another order, a protocol by its name, a
//! single address with its prefix. The sets of options with their values are compared.

use std::collections::BTreeMap;

/// Protocols by name, as in /etc/protocols: iptables-save writes names if that file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocols(BTreeMap<String, u8>);

/// The names that iptables itself has for protocols (xtables_chain_protos, libxtables/xtables.c).
const OWN_NAMES: [(&str, u8); 14] = [
    ("tcp", 6),
    ("sctp", 132),
    ("udp", 17),
    ("udplite", 136),
    ("icmp", 1),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-mh", 135),
    ("mh", 135),
    ("igmp", 2),
    ("gre", 47),
    ("vrrp", 112),
];

impl Protocols {
    /// Parses the contents of /etc/protocols.
    pub fn parse(text: &str) -> Self {
        let mut names: BTreeMap<_, _> = OWN_NAMES.map(|(name, number)| (name.to_owned(), number)).into();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (name, number) = (words.next(), words.next().and_then(|number| number.parse().ok()));
            if let (Some(name), Some(number)) = (name, number) {
                names.extend(words.chain([name]).map(|name| (name.to_owned(), number)));
            }
        }
        Self(names)
    }

    fn number(&self, name: &str) -> String {
        self.0.get(name).map_or_else(|| name.to_owned(), u8::to_string)
    }
}

/// One option with its values.
pub type Clause = Vec<String>;

/// The modules whose options imply them: protocols' own, and those that the engine's rules use. Any other may ask for
/// something without an option, as `-m socket` does.
const SAID_BY_OPTIONS: [&str; 15] = [
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "icmp",
    "icmp6",
    "icmpv6",
    "addrtype",
    "comment",
    "conntrack",
    "limit",
    "multiport",
    "pkttype",
    "set",
];

/// Returns the options of a rule, sorted; without each `-m` that the options imply.
pub fn normal(words: &[String], protocols: &Protocols) -> Vec<Clause> {
    let mut clauses = clauses(words);
    clauses.retain(|clause| !is_said_by_options(clause));
    for clause in &mut clauses {
        normalise(clause, protocols);
    }
    clauses.sort();
    clauses
}

fn is_said_by_options(clause: &Clause) -> bool {
    matches!(clause.as_slice(), [option, module] if option == "-m" && SAID_BY_OPTIONS.contains(&module.as_str()))
}

/// Returns the comment of a rule.
pub fn comment(words: &[String]) -> Option<&str> {
    let at = words.iter().position(|word| word == "--comment")?;
    words.get(at + 1).map(String::as_str)
}

/// Splits words into options with their values; a `!` belongs to the option after it.
pub fn clauses(words: &[String]) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    let mut is_value = false;
    let mut negated = false;
    for word in words {
        let begins = !is_value && word.starts_with('-') && word.len() > 1;
        match clauses.last_mut() {
            _ if !is_value && word == "!" => negated = true,
            Some(clause) if !begins => {
                clause.push(word.clone());
                is_value = false;
            }
            _ => {
                let negation = std::mem::take(&mut negated).then(|| "!".to_owned());
                clauses.push(negation.into_iter().chain([word.clone()]).collect());
                // A comment may begin with a hyphen.
                is_value =
                    matches!(word.as_str(), "--comment" | "--log-prefix" | "--nflog-prefix" | "--string");
            }
        }
    }
    clauses
}

/// Returns the option of a clause.
pub fn option(clause: &Clause) -> &str {
    clause.iter().map(String::as_str).find(|word| *word != "!").unwrap_or_default()
}

fn normalise(clause: &mut Clause, protocols: &Protocols) {
    let option = option(clause).to_owned();
    let Some(value) = clause.last_mut() else { return };
    match option.as_str() {
        "-p" => *value = protocols.number(value),
        "--ctstate" => {
            let mut states: Vec<_> = value.split(',').collect();
            states.sort_unstable();
            *value = states.join(",");
        }
        "-s" | "-d" | "--ctorigdst" => {
            let host = if value.contains(':') { "/128" } else { "/32" };
            *value = value.strip_suffix(host).unwrap_or(value).to_owned();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Clause> {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        normal(&words, &Protocols::parse("ospf\t89\tOSPFIGP # Open Shortest Path First\n"))
    }

    #[test]
    fn spellings_of_the_same_rule_are_the_same() {
        for (one, other) in [
            ("-p 6 -m tcp --dport 80 -j DROP", "-p tcp --dport 80 -j DROP"),
            ("-p ospf -j DROP", "-p 89 -j DROP"),
            ("-s 192.0.2.1/32 -i eth0 -j DROP", "-i eth0 -s 192.0.2.1 -j DROP"),
            ("-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctstate ESTABLISHED,RELATED"),
        ] {
            assert_eq!(of(one), of(other), "{one}");
        }
    }

    #[test]
    fn different_rules_stay_different() {
        for (one, other) in [
            ("-p tcp --dport 80", "-p tcp --sport 80"),
            ("! -i eth0 -j DROP", "-i eth0 -j DROP"),
            ("-i eth0 ! -s 192.0.2.1", "! -i eth0 -s 192.0.2.1"),
            ("-s 192.0.2.1/31", "-s 192.0.2.1/32"),
            ("-j FILTERS", "-g FILTERS"),
            ("-m socket -j RETURN", "-j RETURN"),
        ] {
            assert_ne!(of(one), of(other), "{one}");
        }
    }

    #[test]
    fn a_comment_is_no_option_whatever_it_says() {
        let words = ["-m", "comment", "--comment", "-j", "-j", "DROP"].map(str::to_owned);
        assert_eq!(clauses(&words)[1], ["--comment", "-j"]);
        assert_eq!(comment(&words), Some("-j"));
    }
}
