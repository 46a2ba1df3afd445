//! How an operator tests a policy: by a new connection, since any policy leaves the one that is there up.

use std::net::{IpAddr, SocketAddr};

use super::lockout::dialled;
use crate::host::session::{self, Origin};
use crate::message::Message;

/// The variables that name the user who logged in: before sudo, and without it (sudo(8), login(1)).
const USERS: [&str; 2] = ["SUDO_USER", "LOGNAME"];
/// The port that ssh dials unless it is told another one (ssh(1)).
const SSH: u16 = 22;

/// Adds to a message about a trial how to test it.
pub(super) fn advise(message: Message) -> Message {
    let message = message.meaning(
        "connections that are up now stay up, this session included: only a NEW connection shows whether you still get in",
    );
    match command() {
        Some(command) => message.help(format!("to test, on your own computer, in another window: {command}")),
        None => message.help("to test, from another computer: open a new connection to this host"),
    }
}

/// Returns the command that opens a connection like the operator's own.
fn command() -> Option<String> {
    let Origin::Live(session) = session::origin() else { return None };
    let to = dialled(&session).map_or(session.server, |ends| ends.destination);
    let user = USERS.iter().find_map(|name| std::env::var(name).ok());
    ssh(user.as_deref(), to)
}

/// Returns nothing for an address that means something else on the operator's computer.
fn ssh(user: Option<&str>, to: SocketAddr) -> Option<String> {
    let is_link_local = matches!(to.ip(), IpAddr::V6(address) if address.is_unicast_link_local());
    if is_link_local || to.ip().is_loopback() {
        return None;
    }
    let port = if to.port() == SSH { String::new() } else { format!("-p {} ", to.port()) };
    let user = user.filter(|user| is_plain(user)).map(|user| format!("{user}@")).unwrap_or_default();
    Some(format!("ssh {port}{user}{}", to.ip()))
}

/// Returns whether a shell takes it as one word.
fn is_plain(user: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !user.is_empty() && !user.starts_with('-') && user.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_opens_a_connection_like_the_operators_own() {
        let ssh = |user, to: &str| ssh(user, to.parse().unwrap());
        assert_eq!(ssh(Some("ada"), "192.0.2.1:22").unwrap(), "ssh ada@192.0.2.1");
        assert_eq!(ssh(None, "[2001:db8::1]:2222").unwrap(), "ssh -p 2222 2001:db8::1");
        for odd in ["a b", "$(reboot)", "-oProxyCommand=x", ""] {
            assert_eq!(ssh(Some(odd), "192.0.2.1:22").unwrap(), "ssh 192.0.2.1");
        }
        assert_eq!([ssh(None, "[fe80::1]:22"), ssh(None, "127.0.0.1:22")], [None, None]);
    }
}
