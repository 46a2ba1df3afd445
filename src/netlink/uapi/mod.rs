//! Numbers of the kernel's interface that `libc` lacks, or has in unsuitable types.
//!
//! If no other header is named, they come from `linux/netfilter/nf_tables.h`.

pub(crate) mod expression;

/// What a message asks for or carries: `enum nf_tables_msg_types`.
pub(crate) mod msg {
    pub(crate) const NEWTABLE: u16 = 0;
    pub(crate) const GETTABLE: u16 = 1;
    pub(crate) const DELTABLE: u16 = 2;
    pub(crate) const NEWCHAIN: u16 = 3;
    pub(crate) const GETCHAIN: u16 = 4;
    pub(crate) const DELCHAIN: u16 = 5;
    pub(crate) const NEWRULE: u16 = 6;
    pub(crate) const GETRULE: u16 = 7;
    pub(crate) const DELRULE: u16 = 8;
    pub(crate) const NEWSET: u16 = 9;
    pub(crate) const GETSET: u16 = 10;
    pub(crate) const DELSET: u16 = 11;
    pub(crate) const NEWSETELEM: u16 = 12;
    pub(crate) const GETSETELEM: u16 = 13;
    pub(crate) const GETGEN: u16 = 16;
    pub(crate) const NEWOBJ: u16 = 18;
    pub(crate) const GETOBJ: u16 = 19;
    pub(crate) const DELOBJ: u16 = 20;
    pub(crate) const GETFLOWTABLE: u16 = 23;
}

/// The table of every object: `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`, `NFTA_SET_TABLE`,
/// `NFTA_SET_ELEM_LIST_TABLE`, `NFTA_OBJ_TABLE`, `NFTA_FLOWTABLE_TABLE` and `NFTA_TABLE_NAME` are one number.
pub(crate) const NFTA_OBJECT_TABLE: u16 = 1;

/// `enum nft_table_attributes`.
pub(crate) mod table {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const FLAGS: u16 = 2;
    /// `NFT_TABLE_F_DORMANT`.
    pub(crate) const FLAG_DORMANT: u32 = 1;
}

/// `enum nft_chain_attributes`, and `enum nft_hook_attributes` inside of `HOOK`.
pub(crate) mod chain {
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const POLICY: u16 = 5;
    pub(crate) const TYPE: u16 = 7;
    pub(crate) const FLAGS: u16 = 10;
    pub(crate) const USERDATA: u16 = 12;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    /// `NFT_CHAIN_BASE`, which the kernel reports of every chain that has a hook.
    pub(crate) const FLAG_BASE: u32 = 1;
}

/// `enum nft_rule_attributes`.
pub(crate) mod rule {
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const COMPAT: u16 = 5;
    pub(crate) const USERDATA: u16 = 7;
}

/// `enum nft_expr_attributes`.
pub(crate) mod expr {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DATA: u16 = 2;
}

/// The expressions that ask a set, each with the attribute that names it.
pub(crate) const SET_OF_EXPRESSION: [(&[u8], u16); 3] = [
    (b"lookup", expression::lookup::SET),
    // NFTA_DYNSET_SET_NAME
    (b"dynset", 1),
    (b"objref", expression::objref::SET_NAME),
];

/// `enum nft_set_attributes`.
pub(crate) mod set {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const KEY_TYPE: u16 = 4;
    pub(crate) const KEY_LEN: u16 = 5;
    pub(crate) const DATA_TYPE: u16 = 6;
    /// `NFT_DATA_VERDICT`.
    pub(crate) const DATA_VERDICT: u32 = 0xffff_ff00;
    pub(crate) const DESC: u16 = 9;
    /// `NFTA_SET_DESC_SIZE`, inside of `DESC`.
    pub(crate) const DESC_SIZE: u16 = 1;
    /// `NFTA_SET_DESC_CONCAT`, inside of `DESC`: a list of fields.
    pub(crate) const DESC_CONCAT: u16 = 2;
    /// `NFTA_SET_FIELD_LEN`, inside of a field.
    pub(crate) const FIELD_LEN: u16 = 1;
    pub(crate) const TIMEOUT: u16 = 11;
    pub(crate) const USERDATA: u16 = 13;
    pub(crate) const OBJ_TYPE: u16 = 15;
    pub(crate) const EXPR: u16 = 17;
    pub(crate) const EXPRESSIONS: u16 = 18;
    /// `NFT_SET_ANONYMOUS`.
    pub(crate) const FLAG_ANONYMOUS: u32 = 1;
    /// `NFT_SET_INTERVAL`.
    pub(crate) const FLAG_INTERVAL: u32 = 4;
    /// `NFT_SET_MAP`.
    pub(crate) const FLAG_MAP: u32 = 8;
}

/// `enum nft_set_elem_list_attributes`, and what is inside of its `ELEMENTS`.
pub(crate) mod element {
    pub(crate) const SET: u16 = 2;
    pub(crate) const ELEMENTS: u16 = 3;
    /// `NFTA_LIST_ELEM`.
    pub(crate) const LIST_ITEM: u16 = 1;
    /// `NFTA_SET_ELEM_KEY`.
    pub(crate) const KEY: u16 = 1;
    /// `NFTA_SET_ELEM_DATA`.
    pub(crate) const DATA: u16 = 2;
    /// `NFTA_SET_ELEM_FLAGS`.
    pub(crate) const FLAGS: u16 = 3;
    /// `NFTA_SET_ELEM_TIMEOUT`.
    pub(crate) const TIMEOUT: u16 = 4;
    /// `NFTA_DATA_VALUE`.
    pub(crate) const VALUE: u16 = 1;
    /// `NFTA_SET_ELEM_KEY_END`.
    pub(crate) const KEY_END: u16 = 10;
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub(crate) const FLAG_INTERVAL_END: u32 = 1;
    /// `NFT_SET_ELEM_CATCHALL`.
    pub(crate) const FLAG_CATCH_ALL: u32 = 2;
}

/// `enum nft_object_attributes`, and `enum nft_counter_attributes` inside of `DATA`.
pub(crate) mod object {
    pub(crate) const NAME: u16 = 2;
    pub(crate) const TYPE: u16 = 3;
    pub(crate) const DATA: u16 = 4;
    /// `NFT_OBJECT_COUNTER`.
    pub(crate) const COUNTER: u32 = 1;
    pub(crate) const COUNTER_BYTES: u16 = 1;
    pub(crate) const COUNTER_PACKETS: u16 = 2;
}

/// `NFTA_FLOWTABLE_NAME`.
pub(crate) const NFTA_FLOWTABLE_NAME: u16 = 2;
/// `NFTA_GEN_ID`.
pub(crate) const NFTA_GEN_ID: u16 = 1;
/// `NFNL_BATCH_GENID` (linux/netfilter/nfnetlink.h).
pub(crate) const NFNL_BATCH_GENID: u16 = 1;

/// `NFT_META_IIFKIND`.
pub(crate) const NFT_META_IIFKIND: u32 = 26;
/// `NFT_META_OIFKIND`.
pub(crate) const NFT_META_OIFKIND: u32 = 27;
/// `NFTA_FIB_F_SADDR`.
pub(crate) const NFTA_FIB_F_SADDR: u32 = 1;
/// `NFTA_FIB_F_DADDR`.
pub(crate) const NFTA_FIB_F_DADDR: u32 = 2;
/// `NFTA_FIB_F_IIF`.
pub(crate) const NFTA_FIB_F_IIF: u32 = 8;
/// `NFTA_FIB_F_PRESENT`.
pub(crate) const NFTA_FIB_F_PRESENT: u32 = 32;
/// `NFT_FIB_RESULT_OIF`.
pub(crate) const NFT_FIB_RESULT_OIF: u32 = 1;
/// `NFT_FIB_RESULT_ADDRTYPE`.
pub(crate) const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
/// `NFT_LOGLEVEL_INFO`.
pub(crate) const NFT_LOGLEVEL_INFO: u32 = 6;
/// `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h): the destination was translated.
pub(crate) const IPS_DST_NAT: u32 = 1 << 5;
/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)` and `NF_CT_STATE_BIT(IP_CT_RELATED)`, where
/// `NF_CT_STATE_BIT(state)` is `1 << (state % IP_CT_IS_REPLY + 1)`
/// (linux/netfilter/nf_conntrack_common.h).
pub(crate) const CT_ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;

/// Numbers of nft's own: its data types (`enum datatypes`, nftables/include/datatype.h).
pub(crate) mod datatype {
    pub(crate) const IPV4_ADDRESS: u32 = 7;
    pub(crate) const IPV6_ADDRESS: u32 = 8;
    pub(crate) const INET_SERVICE: u32 = 13;
    pub(crate) const INTERFACE_NAME: u32 = 41;
}
