//! The host's uplink as a port of a bridge, as hosts of virtual machines have it.

use anyhow::Result;

use crate::netns::hardware_address;
use crate::topology::{Lab, add_second_addresses, route_outwards};

/// The host's interface on the lab's segment.
const UPLINK: &str = "eth0";

impl Lab {
    /// Makes the host's `eth0` a port of a new bridge, which takes its addresses and default routes over. For clients, nothing
    /// changes.
    pub fn bridge_uplink(&self, bridge: &str) -> Result<()> {
        let address = hardware_address(&self.host, UPLINK)?.map(|byte| format!("{byte:02x}")).join(":");
        self.host.ip(&[&format!("link add {bridge} address {address} type bridge mcast_snooping 0")])?;
        self.enslave(UPLINK, bridge)?;
        self.move_addresses(UPLINK, bridge)
    }

    /// Takes that bridge away again.
    pub fn unbridge_uplink(&self, bridge: &str) -> Result<()> {
        self.move_addresses(bridge, UPLINK)?;
        self.host.ip(&[&format!("link set {UPLINK} nomaster"), &format!("link delete {bridge}")])
    }

    fn move_addresses(&self, from: &str, to: &str) -> Result<()> {
        let host = &self.host;
        host.ip(&[
            "route delete default",
            "route delete ::/0",
            &format!("address flush dev {from} scope global"),
            &format!("address add {}/24 dev {to}", host.v4),
            &format!("address add {}/64 dev {to} nodad", host.v6),
        ])?;
        add_second_addresses(host, to)?;
        route_outwards(host)
    }
}
