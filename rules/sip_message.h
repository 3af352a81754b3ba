// The addresses that a SIP message and a session description (SDP) bear as text, translated by a
// table.
//
// An address counts where the grammar has a host, and only where all of the host is that address:
// IPv4, or IPv6 with or without brackets.
//
// - The Request-URI; hosts of URIs in From, To, Contact, Route, Record-Route, Path, Service-Route,
//   Refer-To, Referred-By, Reply-To, P-Asserted-Identity, P-Preferred-Identity, P-Associated-URI,
//   P-Called-Party-ID, Remote-Party-ID, Diversion and History-Info; Via's sent-by; Warning's agent;
//   compact names likewise. In all of them also the parameters `maddr` and `received`. Not in
//   display names, users, quoted strings, tags or branches.
// - What follows the @ in a Call-ID, and where one is named: In-Reply-To, Replaces, Join,
//   Target-Dialog, and the headers within a URI (there also as %40). It is opaque, but both sides
//   go on naming the same call where what comes back is translated in reverse.
// - All other headers stay, Authorization among them, whose digest is over what it names.
// - SDP in the body, where Content-Type says application/sdp or multipart (then in all of its
//   parts) and no Content-Encoding is in the way, as far as Content-Length says that the body
//   reaches: the address of `o=` and `c=`, and the attributes rtcp, candidate (`raddr`, too),
//   remote-candidates and source-filter.
//
// Sources: RFC 3261 (SIP), 3325, 3327, 3515, 3608, 3892, 5806, 7044, 7315 and
// draft-ietf-sip-privacy-04 (headers with URIs), 3891, 3911, 4538 (with Call-IDs); RFC 8866 (SDP),
// 3605 (rtcp), 8839 (candidates), 4570 (source-filter).
#pragma once

#include <cstddef>
#include <span>

#include "rules/address_table.h"
#include "rules/edit_text.h"

namespace fettle {

// Whether a message begins with a SIP request's or response's start line and has all its headers.
bool is_sip_message(std::span<const std::byte> message) noexcept;

// Adds an edit for each address that the table translates; offsets count from the message's first
// byte. The message is whole: one whose headers do not end, and for find_sip() one that is not
// is_sip_message(), gets no edits. list.full() says whether there were more than fit.
// Content-Length is left to mend_content_length(). Work is linear in the message, whatever it says.
void find_sip(const AddressTable& table, std::span<const std::byte> message,
              EditList& list) noexcept;
// Only those in the body, of any message that text_message.h knows.
void find_sdp(const AddressTable& table, std::span<const std::byte> message,
              EditList& list) noexcept;

}  // namespace fettle
