//! The tables of single values: `[icmp]`, `[swarm]`, `[log]` and `[engine]`, with their defaults.

use super::Resolver;
use super::advice::text_of;
use crate::diagnostic::{Diagnostic, Diagnostics, Spanned, quoted};
use crate::policy::{Backend, Echo, EngineOptions, Log, Rate, Swarm};
use crate::suggest::{alternatives, closest};

/// The port of Swarm's VXLAN unless `docker swarm init` sets another (IANA: vxlan).
const DATA_PATH_PORT: u16 = 4789;

/// The ports that `docker swarm init --data-path-port` accepts.
const DATA_PATH_PORTS: std::ops::RangeInclusive<i64> = 1024..=49151;

/// What to do instead of treating everyone as a node of the Swarm.
const PEERS_ADVICE: &str = "remove it, and list the addresses of the other nodes; to let everyone send as a node all the same, use --force";

impl Resolver<'_> {
    pub(super) fn echo(&mut self) -> Echo {
        const CHOICES: [(&str, Echo); 2] = [("accept", Echo::Accept), ("trusted", Echo::Trusted)];
        choice(self.config.icmp.echo.as_ref(), "icmp.echo", &CHOICES, self.errors).unwrap_or(Echo::Accept)
    }

    pub(super) fn swarm(&mut self) -> Swarm {
        let swarm = &self.config.swarm;
        let peers = self.narrow(swarm.peers.as_ref(), "swarm.peers", PEERS_ADVICE);
        Swarm { peers, data_path_port: self.data_path_port().unwrap_or(DATA_PATH_PORT) }
    }

    fn data_path_port(&mut self) -> Option<u16> {
        let port = self.config.swarm.data_path_port.as_ref()?;
        let known = DATA_PATH_PORTS.contains(&port.value).then(|| u16::try_from(port.value).ok()).flatten();
        if known.is_none() {
            let (first, last) = DATA_PATH_PORTS.into_inner();
            self.errors.push_with(|| {
                Diagnostic::new("Docker does not accept this as the data path port").at(port.span).help(
                    format!("write a number from {first} to {last}, as in {DATA_PATH_PORT}, which is Docker's default"),
                )
            });
        }
        known
    }

    pub(super) fn log(&mut self) -> Log {
        let log = &self.config.log;
        let rate = log.rate.as_ref().and_then(|rate| self.rate(rate)).unwrap_or_default();
        Log { drops: log.drops.as_ref().is_some_and(|drops| drops.value), rate }
    }

    fn rate(&mut self, rate: &Spanned<String>) -> Option<Rate> {
        let parsed = rate.value.parse();
        if let Err(error) = &parsed {
            self.errors.push_with(|| {
                Diagnostic::new(format!("{} is not a rate: {error}", quoted(&rate.value)))
                    .at(rate.span)
                    .help("write it as in \"10/second\"")
            });
        }
        parsed.ok()
    }

    pub(super) fn engine(&mut self) -> EngineOptions {
        let choices = Backend::ALL.map(|backend| (backend.name(), backend));
        let engine = &self.config.engine;
        let backend = choice(engine.backend.as_ref(), "engine.backend", &choices, self.errors);
        let prefilter = engine.prefilter.as_ref().is_none_or(|prefilter| prefilter.value);
        EngineOptions { backend: backend.unwrap_or_default(), prefilter }
    }
}

/// Returns the meaning of a string out of a closed choice.
pub(super) fn choice<T: Copy>(
    typed: Option<&Spanned<String>>,
    key: &str,
    choices: &[(&str, T)],
    errors: &mut Diagnostics,
) -> Option<T> {
    let typed = typed?;
    let known = choices.iter().find(|(name, _)| *name == typed.value);
    if known.is_none() {
        errors.push_with(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let help = match closest(&typed.value, names.iter().copied()) {
                Some(meant) => format!("did you mean {}? It can be {}", text_of(meant), alternatives(&names)),
                None if key == "to" && is_both(&typed.value) => {
                    "remove it: without `to`, a rule is for ports of the host and published ports".into()
                }
                None => {
                    let names: Vec<_> = names.iter().map(|name| text_of(name)).collect();
                    format!("write {}", names.join(" or "))
                }
            };
            let message = format!("`{key}` can't be {}", quoted(&typed.value));
            Diagnostic::new(message).at(typed.span).help(help)
        });
    }
    known.map(|(_, value)| *value)
}

/// Returns whether a word means that it does not matter where a service is.
fn is_both(word: &str) -> bool {
    ["any", "all", "both", "*", "everything"].contains(&word.to_lowercase().as_str())
}
