//! Attributes of expressions, by the expressions' names: what `NFTA_EXPR_DATA` holds (linux/netfilter/nf_tables.h).

/// `enum nft_meta_attributes`.
pub(crate) mod meta {
    pub(crate) const DREG: u16 = 1;
    pub(crate) const KEY: u16 = 2;
    pub(crate) const SREG: u16 = 3;
}

/// `enum nft_ct_attributes`.
pub(crate) mod ct {
    pub(crate) const DREG: u16 = 1;
    pub(crate) const KEY: u16 = 2;
    pub(crate) const DIRECTION: u16 = 3;
    pub(crate) const SREG: u16 = 4;
}

/// `enum nft_fib_attributes`.
pub(crate) mod fib {
    pub(crate) const DREG: u16 = 1;
    pub(crate) const RESULT: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
}

/// `enum nft_payload_attributes`.
pub(crate) mod payload {
    pub(crate) const DREG: u16 = 1;
    pub(crate) const BASE: u16 = 2;
    pub(crate) const OFFSET: u16 = 3;
    pub(crate) const LEN: u16 = 4;
    pub(crate) const SREG: u16 = 5;
}

/// `enum nft_bitwise_attributes`.
pub(crate) mod bitwise {
    pub(crate) const SREG: u16 = 1;
    pub(crate) const DREG: u16 = 2;
    pub(crate) const LEN: u16 = 3;
    pub(crate) const MASK: u16 = 4;
    pub(crate) const XOR: u16 = 5;
    pub(crate) const OP: u16 = 6;
}

/// `enum nft_byteorder_attributes`.
pub(crate) mod byteorder {
    pub(crate) const SREG: u16 = 1;
    pub(crate) const DREG: u16 = 2;
    pub(crate) const LEN: u16 = 4;
    pub(crate) const SIZE: u16 = 5;
}

/// `enum nft_cmp_attributes`.
pub(crate) mod cmp {
    pub(crate) const SREG: u16 = 1;
    pub(crate) const OP: u16 = 2;
    pub(crate) const DATA: u16 = 3;
}

/// `enum nft_range_attributes`.
pub(crate) mod range {
    pub(crate) const SREG: u16 = 1;
    pub(crate) const OP: u16 = 2;
    pub(crate) const FROM_DATA: u16 = 3;
    pub(crate) const TO_DATA: u16 = 4;
}

/// `enum nft_lookup_attributes`.
pub(crate) mod lookup {
    pub(crate) const SET: u16 = 1;
    pub(crate) const SREG: u16 = 2;
    pub(crate) const DREG: u16 = 3;
    pub(crate) const FLAGS: u16 = 5;
}

/// `enum nft_limit_attributes`.
pub(crate) mod limit {
    pub(crate) const RATE: u16 = 1;
    pub(crate) const UNIT: u16 = 2;
    pub(crate) const TYPE: u16 = 4;
    pub(crate) const FLAGS: u16 = 5;
}

/// `enum nft_log_attributes`.
pub(crate) mod log {
    pub(crate) const PREFIX: u16 = 2;
    pub(crate) const LEVEL: u16 = 5;
}

/// `enum nft_objref_attributes`.
pub(crate) mod objref {
    pub(crate) const IMM_TYPE: u16 = 1;
    pub(crate) const IMM_NAME: u16 = 2;
    pub(crate) const SET_SREG: u16 = 3;
    pub(crate) const SET_NAME: u16 = 4;
}

/// `enum nft_immediate_attributes`.
pub(crate) mod immediate {
    pub(crate) const DREG: u16 = 1;
    pub(crate) const DATA: u16 = 2;
}

/// `enum nft_nat_attributes`.
pub(crate) mod nat {
    pub(crate) const TYPE: u16 = 1;
    pub(crate) const FAMILY: u16 = 2;
    pub(crate) const REG_ADDR_MIN: u16 = 3;
    pub(crate) const REG_ADDR_MAX: u16 = 4;
    pub(crate) const REG_PROTO_MIN: u16 = 5;
    pub(crate) const REG_PROTO_MAX: u16 = 6;
    pub(crate) const FLAGS: u16 = 7;
}

/// `enum nft_redir_attributes`.
pub(crate) mod redir {
    pub(crate) const REG_PROTO_MIN: u16 = 1;
    pub(crate) const REG_PROTO_MAX: u16 = 2;
}

/// `enum nft_socket_attributes`.
pub(crate) mod socket {
    pub(crate) const DREG: u16 = 2;
}

/// `enum nft_hash_attributes`.
pub(crate) mod hash {
    pub(crate) const DREG: u16 = 2;
}

/// `enum nft_tunnel_attributes`.
pub(crate) mod tunnel {
    pub(crate) const DREG: u16 = 2;
}

/// `enum nft_data_attributes`: what an attribute with a value or a verdict holds.
pub(crate) mod data {
    pub(crate) const VALUE: u16 = 1;
    pub(crate) const VERDICT: u16 = 2;
}

/// `enum nft_verdict_attributes`: what a verdict holds.
pub(crate) mod verdict {
    pub(crate) const CODE: u16 = 1;
    pub(crate) const CHAIN: u16 = 2;
}
