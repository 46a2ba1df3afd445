//! Names of lists and containers in a question.

use super::*;

const POLICY: &str = r#"
trusted = ["192.0.2.10"]
blocked = ["192.0.2.40"]

[groups]
office = ["192.0.2.32/28", "2001:db8::7"]
branch = ["office", "192.0.2.9"]
six = ["2001:db8::8"]
web = ["192.0.2.9"]

[[allow]]
name = "db"
from = ["192.0.2.32/30"]
ports = ["5432/tcp"]
"#;

fn lists() -> Lists {
    let files = dockfw_policy::FilesInMemory::new([("dockfw.toml", POLICY)]);
    dockfw_policy::lists("dockfw.toml".as_ref(), &files, dockfw_policy::Strictness::Strict).unwrap()
}

/// Returns a host with another container, on another network and on that of `web`, and one on the host's network.
fn host() -> Facts {
    let mut facts = facts();
    let addresses = [("other", [172, 18, 0, 3]), ("bridge", [172, 17, 0, 3])];
    facts.containers.push(Container {
        id: "cd".into(),
        name: "app".into(),
        on_host_network: false,
        addresses: addresses.map(|(name, address)| (name.into(), address.into())).into(),
        published: vec![],
    });
    facts.containers.push(Container {
        id: "ef".into(),
        name: "agent".into(),
        on_host_network: true,
        addresses: vec![],
        published: vec![],
    });
    facts
}

fn party(text: &str) -> Party {
    text.parse().map_or_else(|_| Party::Named(text.into()), Party::Address)
}

fn understood(from: &str, to: Option<&str>, port: &str) -> Result<Meant, String> {
    let inquiry =
        Inquiry { from: party(from), service: port.parse().unwrap(), incoming: None, to: to.map(party) };
    meant(&inquiry, &host(), &lists()).map_err(|unclear| unclear.message(inquiry.service).to_string())
}

/// Returns the sender, the interface and the destination that are meant.
fn who(from: &str, to: Option<&str>, port: &str) -> (String, Option<String>, Option<String>) {
    let Question { from, incoming, to, .. } = understood(from, to, port).unwrap().question;
    (from.to_string(), incoming, to.map(|to| to.to_string()))
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

#[test]
fn a_list_stands_for_its_first_address_of_the_family() {
    assert_eq!(who("office", None, "80/tcp"), ("192.0.2.32".into(), None, None));
    assert_eq!(who("branch", None, "80/tcp"), ("192.0.2.9".into(), None, None));
    assert_eq!(who("trusted", None, "80/tcp").0, "192.0.2.10");
    assert_eq!(who("office", Some("2001:db8::1"), "80/tcp").0, "2001:db8::7");
    assert_eq!(who("six", None, "80/tcp").0, "2001:db8::8");
    assert_eq!(who("192.0.2.1", Some("office"), "80/tcp").2, some("192.0.2.32"));
    let words = understood("office", None, "80/tcp").unwrap().words;
    assert_eq!(words, ["explained for 192.0.2.32, the first address of `office`"]);
    let none = understood("six", Some("192.0.2.1"), "80/tcp").unwrap_err();
    assert_eq!(none, "list six has no IPv4 address");
}

#[test]
fn a_container_sends_from_its_own_address_by_its_bridge() {
    assert_eq!(who("app", None, "80/tcp"), ("172.18.0.3".into(), some("br-1"), None));
    let on_host = understood("agent", None, "80/tcp").unwrap_err();
    assert!(on_host.starts_with("container agent is on the host's network"), "{on_host}");
}

#[test]
fn a_container_is_dialled_where_it_publishes_or_else_at_its_own_address() {
    let published = understood("192.0.2.10", Some("web"), "8080/tcp").unwrap();
    assert_eq!(published.question.to, None);
    assert_eq!(published.words, ["container web publishes 8080/tcp: an address of the host is dialled"]);
    assert_eq!(who("192.0.2.10", Some("web"), "80/tcp").2, some("172.17.0.2"));
    assert_eq!(who("192.0.2.10", Some("agent"), "80/tcp").2, None);
    // On a common network, containers dial each other.
    assert_eq!(
        who("app", Some("web"), "8080/tcp"),
        ("172.17.0.3".into(), some("docker0"), some("172.17.0.2"))
    );
}

#[test]
fn a_name_that_two_have_is_a_list_as_the_sender_and_a_container_as_the_destination() {
    assert_eq!(who("web", Some("web"), "80/tcp"), ("192.0.2.9".into(), None, some("172.17.0.2")));
}

#[test]
fn an_unknown_name_is_answered_with_those_that_there_are() {
    let unknown = understood("offfice\u{1b}[31m", None, "80/tcp").unwrap_err();
    assert_eq!(
        unknown,
        "`offfice[31m` is not an address, and no list of the policy and no container has this name\n  \
         lists: blocked, branch, office, six, trusted, web\n  containers: agent, app, web\n  \
         help: name one of these, or an address, as in: 203.0.113.7"
    );
}

#[test]
fn those_of_a_list_with_another_verdict_are_named() {
    let ruleset = compile(&crate::fixtures::policy(POLICY));
    let lists = lists();
    let basis = Basis { rules: Rules { ruleset: &ruleset, by_name_alone: false }, lists: &lists };
    let except = |name: &str, port: &str| {
        let meant = understood(name, Some("192.0.2.1"), port).unwrap();
        let usual = explain(basis, &host(), &Looks, &meant.question).unwrap();
        let senders = meant.senders.unwrap();
        let found = exceptions(basis, &host(), &Looks, &meant.question, &senders, &usual);
        let found = found.into_iter().map(|one| (one.from, one.verdict, one.reason));
        (usual.verdict, found.collect::<Vec<_>>())
    };
    let (usual, found) = except("office", "5432/tcp");
    assert_eq!(usual, Verdict::Pass);
    let expected = [
        ("192.0.2.36/30, 192.0.2.41-192.0.2.47", "no rule opens 5432/tcp to 192.0.2.36"),
        ("192.0.2.40", "192.0.2.40 is blocked (dockfw.toml:3)"),
    ];
    let expected = expected.map(|(from, why)| (from.to_owned(), Verdict::Drop, why.to_owned()));
    assert_eq!(found, expected);
    assert_eq!(except("office", "22/tcp"), (Verdict::Drop, vec![]));
}
