-- Wireshark dissector for what it does not know of PANA:
--   pana12   PANA as of draft-ietf-pana-pana-12 (UDP port 716, version octet 1)
--   mip6lab  the AVPs of this laboratory, in that dialect and in RFC 5191's (Vendor-Id 32473)
-- Messages of RFC 5191 stay with Wireshark's own dissector. Put this file into the folder
-- "plugins" of a Wireshark configuration, or name it with -X lua_script:mip6lab.lua.

local PORT = 716
local VENDOR = 32473 -- RFC 5612.

local mip6lab = Proto("mip6lab", "Mobile IPv6 bootstrapping AVPs in PANA")
local pana12 = Proto("pana12", "PANA, draft-ietf-pana-pana-12")

------------------------------------------------------------------------------------------------
-- Fields

local lab = {
    avp = ProtoField.uint16("mip6lab.avp", "AVP Code", base.DEC),
    capability = ProtoField.uint32("mip6lab.capability", "Mobility-Capability", base.HEX),
    mipv6 = ProtoField.bool("mip6lab.capability.mipv6", "Mobile IPv6", 32, nil, 0x01),
    mipv4 = ProtoField.bool("mip6lab.capability.mipv4", "Mobile IPv4", 32, nil, 0x02),
    hip = ProtoField.bool("mip6lab.capability.hip", "HIP", 32, nil, 0x04),
    local_ha = ProtoField.bool("mip6lab.capability.local", "Local home agent", 32, nil, 0x08),
    home_ha = ProtoField.bool("mip6lab.capability.home", "Home agent at home", 32, nil, 0x10),
    prefix_length = ProtoField.uint16("mip6lab.prefix_length", "Home-link prefix length"),
    home_agent = ProtoField.ipv6("mip6lab.home_agent", "Home agent"),
    home_agent_fqdn = ProtoField.string("mip6lab.home_agent_fqdn", "Home agent's name"),
    home_address = ProtoField.ipv6("mip6lab.home_address", "Home address"),
    sealed = ProtoField.bytes("mip6lab.sealed", "Sealed assignment"),
}
mip6lab.fields = lab

local TYPES = {
    [1] = {"PCI", "PCI", "Client-Initiation"},
    [2] = {"PSR", "PSA", "Start"},
    [3] = {"PAR", "PAN", "Auth"},
    [4] = {"PRAR", "PRAA", "Reauth"},
    [5] = {"PBR", "PBA", "Bind"},
    [6] = {"PPR", "PPA", "Ping"},
    [7] = {"PTR", "PTA", "Termination"},
    [8] = {"PER", "PEA", "Error"},
    [9] = {"PUR", "PUA", "Update"},
}
local TYPE_NAMES = {}
for number, names in pairs(TYPES) do
    TYPE_NAMES[number] = "PANA-" .. names[3]
end

local RESULTS = {
    [2001] = "PANA_SUCCESS",
    [3001] = "PANA_MESSAGE_UNSUPPORTED",
    [3002] = "PANA_UNABLE_TO_DELIVER",
    [3008] = "PANA_INVALID_HDR_BITS",
    [3009] = "PANA_INVALID_AVP_FLAGS",
    [4001] = "PANA_AUTHENTICATION_REJECTED",
    [5001] = "PANA_AVP_UNSUPPORTED",
    [5002] = "PANA_UNKNOWN_SESSION_ID",
    [5003] = "PANA_AUTHORIZATION_REJECTED",
    [5004] = "PANA_INVALID_AVP_DATA",
    [5005] = "PANA_MISSING_AVP",
    [5006] = "PANA_RESOURCES_EXCEEDED",
    [5007] = "PANA_CONTRADICTING_AVPS",
    [5008] = "PANA_AVP_NOT_ALLOWED",
    [5009] = "PANA_AVP_OCCURS_TOO_MANY_TIMES",
    [5011] = "PANA_UNSUPPORTED_VERSION",
    [5012] = "PANA_UNABLE_TO_COMPLY",
    [5014] = "PANA_INVALID_AVP_LENGTH",
    [5015] = "PANA_INVALID_MESSAGE_LENGTH",
    [5016] = "PANA_PROTECTION_CAPABILITY_UNSUPPORTED",
    [5017] = "PANA_PPAC_CAPABILITY_UNSUPPORTED",
}
local CAUSES = {[1] = "LOGOUT", [4] = "ADMINISTRATIVE", [8] = "SESSION_TIMEOUT"}
local PROTECTION = {[0] = "L2_PROTECTION", [1] = "IPSEC_PROTECTION"}
local PRFS = {
    [1] = "PRF_HMAC_MD5",
    [2] = "PRF_HMAC_SHA1",
    [4] = "PRF_AES128_XCBC",
    [5] = "PRF_HMAC_SHA2_256",
    [6] = "PRF_HMAC_SHA2_384",
    [7] = "PRF_HMAC_SHA2_512",
}
local INTEGRITY = {
    [1] = "AUTH_HMAC_MD5_96",
    [2] = "AUTH_HMAC_SHA1_96",
    [5] = "AUTH_AES_XCBC_96",
    [7] = "AUTH_HMAC_SHA1_160",
    [12] = "AUTH_HMAC_SHA2_256_128",
    [13] = "AUTH_HMAC_SHA2_384_192",
    [14] = "AUTH_HMAC_SHA2_512_256",
}
local FAMILIES = {[1] = "IPv4", [2] = "IPv6", [6] = "IEEE 802"}

local f = {
    version = ProtoField.uint8("pana12.version", "Version"),
    reserved = ProtoField.uint8("pana12.reserved", "Reserved", base.HEX),
    length = ProtoField.uint16("pana12.length", "Message Length"),
    flags = ProtoField.uint16("pana12.flags", "Flags", base.HEX),
    request = ProtoField.bool("pana12.flags.r", "Request", 16, nil, 0x8000),
    stateless = ProtoField.bool("pana12.flags.l", "Stateless handshake", 16, nil, 0x4000),
    type = ProtoField.uint16("pana12.type", "Message Type", base.DEC, TYPE_NAMES),
    sequence = ProtoField.uint32("pana12.seq", "Sequence Number", base.HEX),
    name = ProtoField.string("pana12.name", "Message"),
    avp = ProtoField.none("pana12.avp", "AVP"),
    avp_name = ProtoField.string("pana12.avp.name", "AVP Name"),
    avp_code = ProtoField.uint16("pana12.avp.code", "AVP Code"),
    avp_flags = ProtoField.uint16("pana12.avp.flags", "AVP Flags", base.HEX),
    avp_v = ProtoField.bool("pana12.avp.flags.v", "Vendor", 16, nil, 0x8000),
    avp_m = ProtoField.bool("pana12.avp.flags.m", "Mandatory", 16, nil, 0x4000),
    avp_length = ProtoField.uint16("pana12.avp.length", "AVP Length"),
    avp_reserved = ProtoField.uint16("pana12.avp.reserved", "Reserved", base.HEX),
    avp_vendor = ProtoField.uint32("pana12.avp.vendor", "Vendor-Id"),
    padding = ProtoField.bytes("pana12.avp.padding", "Padding"),
    value = ProtoField.bytes("pana12.avp.value", "Value"),
    prf = ProtoField.uint16("pana12.prf", "Pseudo-random function", base.DEC, PRFS),
    integrity = ProtoField.uint16("pana12.integrity", "Integrity", base.DEC, INTEGRITY),
    auth = ProtoField.bytes("pana12.auth", "AUTH"),
    cookie = ProtoField.bytes("pana12.cookie", "Cookie"),
    family = ProtoField.uint16("pana12.device.family", "Address family", base.DEC, FAMILIES),
    device_ipv4 = ProtoField.ipv4("pana12.device.ipv4", "Device"),
    device_ipv6 = ProtoField.ipv6("pana12.device.ipv6", "Device"),
    device_mac = ProtoField.ether("pana12.device.mac", "Device"),
    device = ProtoField.bytes("pana12.device", "Device"),
    key_id = ProtoField.uint32("pana12.key_id", "Key-Id"),
    nonce = ProtoField.bytes("pana12.nonce", "Nonce"),
    language_length = ProtoField.uint16("pana12.language_length", "Language tag's length"),
    language = ProtoField.string("pana12.language", "Language"),
    notification = ProtoField.string("pana12.notification", "Text"),
    ppac = ProtoField.uint32("pana12.ppac", "PPAC", base.HEX),
    ppac_n = ProtoField.bool("pana12.ppac.n", "No configuration", 32, nil, 0x80000000),
    ppac_f = ProtoField.bool("pana12.ppac.f", "DHCPv4", 32, nil, 0x40000000),
    ppac_s = ProtoField.bool("pana12.ppac.s", "DHCPv6", 32, nil, 0x20000000),
    ppac_a = ProtoField.bool("pana12.ppac.a", "Stateless", 32, nil, 0x10000000),
    ppac_t = ProtoField.bool("pana12.ppac.t", "DHCPv4 with IPsec tunnel", 32, nil, 0x08000000),
    ppac_i = ProtoField.bool("pana12.ppac.i", "IKEv2", 32, nil, 0x04000000),
    protection = ProtoField.uint32("pana12.protection", "Protection", base.DEC, PROTECTION),
    provider = ProtoField.uint32("pana12.provider", "Provider's enterprise number"),
    provider_name = ProtoField.string("pana12.provider_name", "Provider's name"),
    result = ProtoField.uint32("pana12.result", "Result-Code", base.DEC, RESULTS),
    session = ProtoField.string("pana12.session", "Session-Id"),
    lifetime = ProtoField.uint32("pana12.lifetime", "Session-Lifetime in seconds"),
    cause = ProtoField.uint32("pana12.cause", "Termination-Cause", base.DEC, CAUSES),
}
pana12.fields = f

local malformed = ProtoExpert.new(
    "pana12.malformed.expert", "Malformed PANA", expert.group.MALFORMED, expert.severity.ERROR
)
local unknown = ProtoExpert.new(
    "pana12.avp.unknown", "Unknown mandatory AVP", expert.group.UNDECODED, expert.severity.WARN
)
pana12.experts = {malformed, unknown}

local eap = Dissector.get("eap")

------------------------------------------------------------------------------------------------
-- Values of AVPs: functions of (range, tree, pinfo)

local function number(field)
    return function(range, tree)
        tree:add(field, range(0, 4))
    end
end

local function octets(field)
    return function(range, tree)
        tree:add(field, range)
    end
end

local function capability(range, tree)
    local item = tree:add(lab.capability, range(0, 4))
    for _, field in ipairs({lab.mipv6, lab.mipv4, lab.hip, lab.local_ha, lab.home_ha}) do
        item:add(field, range(0, 4))
    end
end

local function home_agent(range, tree)
    tree:add(lab.prefix_length, range(0, 2))
    tree:add(lab.home_agent, range(2, 16))
end

local LAB_AVPS = {
    [101] = {"Mobility-Capability", capability, 4},
    [102] = {"MIP6-Home-Agent-Address", home_agent, 18},
    [103] = {"MIP6-Home-Agent-FQDN", octets(lab.home_agent_fqdn), 1},
    [104] = {"Home-Address", octets(lab.home_address), 16},
    [105] = {"Sealed-Assignment", octets(lab.sealed), 1},
}

local function algorithm(range, tree)
    tree:add(f.prf, range(0, 2))
    tree:add(f.integrity, range(2, 2))
end

local function device(range, tree)
    tree:add(f.family, range(0, 2))
    local family, rest = range(0, 2):uint(), range:len() - 2
    if family == 1 and rest == 4 then
        tree:add(f.device_ipv4, range(2))
    elseif family == 2 and rest == 16 then
        tree:add(f.device_ipv6, range(2))
    elseif family == 6 and rest == 6 then
        tree:add(f.device_mac, range(2))
    elseif rest > 0 then
        tree:add(f.device, range(2))
    end
end

local function notification(range, tree)
    local length = range(0, 2):uint()
    tree:add(f.language_length, range(0, 2))
    if 2 + length > range:len() then
        tree:add_proto_expert_info(malformed, "language tag beyond the AVP's end")
        return
    end
    if length > 0 then
        tree:add(f.language, range(2, length))
    end
    if range:len() > 2 + length then
        tree:add(f.notification, range(2 + length))
    end
end

local function ppac(range, tree)
    local item = tree:add(f.ppac, range(0, 4))
    for _, field in ipairs({f.ppac_n, f.ppac_f, f.ppac_s, f.ppac_a, f.ppac_t, f.ppac_i}) do
        item:add(field, range(0, 4))
    end
end

local function eap_payload(range, tree, pinfo, top)
    eap:call(range:tvb(), pinfo, top)
end

local avps -- Defined below: grouped AVPs hold AVPs.

local function grouped(range, tree, pinfo, top)
    avps(range, tree, pinfo, top)
end

local AVPS = {
    [1] = {"Algorithm", algorithm, 4},
    [2] = {"AUTH", octets(f.auth), 1},
    [3] = {"Cookie", octets(f.cookie), 1},
    [4] = {"Device-Id", device, 2},
    [5] = {"EAP-Payload", eap_payload, 4},
    [6] = {"Failed-AVP", grouped, 8},
    [7] = {"ISP-Information", grouped, 8},
    [8] = {"Key-Id", number(f.key_id), 4},
    [9] = {"NAP-Information", grouped, 8},
    [10] = {"Nonce", octets(f.nonce), 8},
    [11] = {"Notification", notification, 2},
    [12] = {"Post-PANA-Address-Configuration", ppac, 4},
    [13] = {"Protection-Capability", number(f.protection), 4},
    [14] = {"Provider-Identifier", number(f.provider), 4},
    [15] = {"Provider-Name", octets(f.provider_name), 1},
    [16] = {"Result-Code", number(f.result), 4},
    [17] = {"Session-Id", octets(f.session), 1},
    [18] = {"Session-Lifetime", number(f.lifetime), 4},
    [19] = {"Termination-Cause", number(f.cause), 4},
}
for code, definition in pairs(LAB_AVPS) do
    AVPS[code] = definition
end

------------------------------------------------------------------------------------------------
-- draft-ietf-pana-pana-12

local function avp_header(range, tree, flags)
    tree:add(f.avp_code, range(0, 2))
    local item = tree:add(f.avp_flags, range(2, 2))
    item:add(f.avp_v, range(2, 2))
    item:add(f.avp_m, range(2, 2))
    tree:add(f.avp_length, range(4, 2))
    tree:add(f.avp_reserved, range(6, 2))
    if flags >= 0x8000 then
        tree:add(f.avp_vendor, range(8, 4))
    end
end

local function avp_value(range, tree, pinfo, top, definition, mandatory)
    if definition == nil then
        if range then
            tree:add(f.value, range)
        end
        if mandatory then
            tree:add_proto_expert_info(unknown)
        end
    elseif range == nil or range:len() < definition[3] then
        tree:add_proto_expert_info(malformed, definition[1] .. " is too short")
    else
        definition[2](range, tree, pinfo, top)
    end
end

-- Adds the AVPs of `range` to `tree`; EAP goes below `top`, as Wireshark has it elsewhere.
avps = function(range, tree, pinfo, top)
    local offset, total = 0, range:len()
    while offset < total do
        if total - offset < 8 then
            tree:add_proto_expert_info(malformed, "octets left over behind the last AVP")
            return
        end
        local code = range(offset, 2):uint()
        local flags = range(offset + 2, 2):uint()
        local length = range(offset + 4, 2):uint()
        local head = flags >= 0x8000 and 12 or 8
        if length < head or offset + length > total then
            tree:add_proto_expert_info(malformed, "AVP length " .. length)
            return
        end
        local definition = flags < 0x8000 and AVPS[code] or nil
        local name = definition and definition[1] or "Unknown AVP"
        local item = tree:add(f.avp, range(offset, length))
        item:set_text(string.format("%s (%d), %d octets", name, code, length - head))
        item:add(f.avp_name, range(offset, 2), name):set_generated()
        avp_header(range(offset, head), item, flags)
        local value = length > head and range(offset + head, length - head) or nil
        local mandatory = bit.band(flags, 0x4000) ~= 0
        avp_value(value, item, pinfo, top, definition, mandatory)
        local padding = math.min((4 - length % 4) % 4, total - offset - length)
        if padding > 0 then
            item:add(f.padding, range(offset + length, padding))
        end
        offset = offset + length + padding
    end
end

local function header(range, tree)
    tree:add(f.version, range(0, 1))
    tree:add(f.reserved, range(1, 1))
    tree:add(f.length, range(2, 2))
    local flags = tree:add(f.flags, range(4, 2))
    flags:add(f.request, range(4, 2))
    flags:add(f.stateless, range(4, 2))
    tree:add(f.type, range(6, 2))
    tree:add(f.sequence, range(8, 4))
end

function pana12.dissector(tvb, pinfo, root)
    if tvb:len() < 12 or tvb(0, 1):uint() ~= 1 then
        return 0 -- RFC 5191 has zero here.
    end
    local flags, kind, length = tvb(4, 2):uint(), tvb(6, 2):uint(), tvb(2, 2):uint()
    local names = TYPES[kind]
    local request = flags >= 0x8000
    local name = names and names[request and 1 or 2] or ("Unknown type " .. kind)
    pinfo.cols.protocol = "PANA-12"
    pinfo.cols.info = name
    local tree = root:add(pana12, tvb())
    tree:append_text(", " .. name)
    header(tvb(0, 12), tree)
    tree:add(f.name, tvb(4, 4), name):set_generated()
    if length ~= tvb:len() then
        tree:add_proto_expert_info(malformed, "message length " .. length)
    elseif length > 12 then
        avps(tvb(12), tree, pinfo, root)
        if tostring(pinfo.cols.protocol) ~= "PANA-12" then
            pinfo.cols.info:prepend(name .. ": ") -- EAP has put its own name there.
        end
    end
    return tvb:len()
end

DissectorTable.get("udp.port"):add(PORT, pana12)

------------------------------------------------------------------------------------------------
-- The laboratory's AVPs in messages of RFC 5191, behind what Wireshark's dissector shows

local pana_message = Field.new("pana")

local function lab_avp(range, code, length, tree)
    local definition = LAB_AVPS[code]
    local name = definition and definition[1] or "Unknown AVP"
    local item = tree:add(lab.avp, range(0, 2))
    item:set_text(string.format("%s (%d), %d octets", name, code, length))
    if definition and length >= definition[3] then
        definition[2](range(12, length), item)
    end
end

-- The tree is made with the first AVP found: a message without any shows nothing.
local function lab_avps(range, root)
    local tree
    local offset, total = 16, range:len()
    while offset + 8 <= total do
        local code = range(offset, 2):uint()
        local flags = range(offset + 2, 2):uint()
        local length = range(offset + 4, 2):uint()
        local head = flags >= 0x8000 and 12 or 8
        if offset + head + length > total then
            return
        end
        if head == 12 and range(offset + 8, 4):uint() == VENDOR then
            tree = tree or root:add(mip6lab, range)
            lab_avp(range(offset, head + length), code, length, tree)
        end
        offset = offset + head + length + (4 - length % 4) % 4
    end
end

function mip6lab.dissector(_, _, root)
    -- More than one where a relay's message holds another.
    for _, message in ipairs({pana_message()}) do
        lab_avps(message.range, root)
    end
end

register_postdissector(mip6lab)
