#include "rules/sip_message.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "rules/address_search.h"
#include "rules/text_message.h"

namespace fettle {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kVersion = "SIP/2.0";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Part of the message, by offsets in it.
struct Part {
  size_t begin = 0;
  size_t end = 0;
};

// The message, and the edits of the addresses in it.
class Addresses {
 public:
  Addresses(const AddressTable& table, Bytes message, EditList& list)
      : table_(table), message_(message), list_(list) {}

  std::string_view text(const Part& part) const {
    const auto* data = reinterpret_cast<const char*>(message_.data());
    return {data + part.begin, part.end - part.begin};
  }
  Part part(std::string_view text) const {
    const auto begin =
        static_cast<size_t>(text.data() - reinterpret_cast<const char*>(message_.data()));
    return {begin, begin + text.size()};
  }
  bool full() const { return list_.full(); }

  // The address that `part` begins with, and that it ends with, too, or one of `ends` follows.
  void translate(Part part, std::string_view ends) {
    constexpr size_t kMost = 64;  // longer than any address, so that a longer run is none
    bool bracket = false;
    if (part.begin < part.end && text(part).front() == '[') ++part.begin, bracket = true;
    if (part.begin >= part.end) return;
    const size_t size = std::min(part.end - part.begin, kMost);
    const auto found = read_address(message_.subspan(part.begin, size), AddressForm::kText);
    if (!found) return;
    const std::string_view rest = text({part.begin + found->size, part.end});
    if (bracket ? !rest.starts_with(']') : !rest.empty() && ends.find(rest.front()) == ends.npos) {
      return;
    }
    const auto translated = table_.find(found->address);
    if (!translated) return;
    AddressText written;
    const uint32_t length = write_address(*translated, AddressForm::kText, &written);
    list_.add(static_cast<uint32_t>(part.begin), found->size,
              std::as_bytes(std::span(written).first(length)));
  }

 private:
  const AddressTable& table_;
  Bytes message_;
  EditList& list_;
};

// ---- SIP ----------------------------------------------------------------------------------------

enum class Bears : uint8_t { kUris, kHosts, kCallIds };
struct Header {
  std::string_view name;
  std::string_view compact;
  Bears bears;
};
constexpr Header kHeaders[] = {
    {"Via", "v", Bears::kHosts},
    {"From", "f", Bears::kUris},
    {"To", "t", Bears::kUris},
    {"Contact", "m", Bears::kUris},
    {"Call-ID", "i", Bears::kCallIds},
    {"Route", "", Bears::kUris},
    {"Record-Route", "", Bears::kUris},
    {"Path", "", Bears::kUris},
    {"Service-Route", "", Bears::kUris},
    {"Refer-To", "r", Bears::kUris},
    {"Referred-By", "b", Bears::kUris},
    {"Reply-To", "", Bears::kUris},
    {"P-Asserted-Identity", "", Bears::kUris},
    {"P-Preferred-Identity", "", Bears::kUris},
    {"P-Associated-URI", "", Bears::kUris},
    {"P-Called-Party-ID", "", Bears::kUris},
    {"Remote-Party-ID", "", Bears::kUris},
    {"Diversion", "", Bears::kUris},
    {"History-Info", "", Bears::kUris},
    {"Warning", "", Bears::kHosts},
    {"In-Reply-To", "", Bears::kCallIds},
    {"Replaces", "", Bears::kCallIds},
    {"Join", "", Bears::kCallIds},
    {"Target-Dialog", "", Bears::kCallIds},
};

const Header* find_header(std::string_view name) {
  const auto* found = std::ranges::find_if(kHeaders, [&](const Header& header) {
    return is_header_name(name, header.name) || is_header_name(name, header.compact);
  });
  return found == std::end(kHeaders) ? nullptr : found;
}

// Whether `text` begins with a name, in any case.
bool begins_with(std::string_view text, std::string_view name) {
  return is_header_name(text.substr(0, name.size()), name);
}

// The values of headers that bear addresses.
class SipValues {
 public:
  explicit SipValues(Addresses& addresses) : addresses_(addresses) {}

  void uri(const Part& part) {
    const std::string_view text = addresses_.text(part);
    // No @ stands in a URI but behind its user, so that without one the host comes first.
    if (text.find('@') == text.npos) host_behind_scheme(part);
    bool headers = false;
    for (size_t i = 0; i < text.size() && !addresses_.full(); ++i) {
      const size_t at = part.begin + i;
      headers |= text[i] == '?';
      if (text[i] == '@') host({at + 1, part.end});
      if (text[i] == ';') parameter({at + 1, part.end});
      if (headers && text.substr(i, 3) == "%40") host({at + 3, part.end});
    }
  }
  void values(const Part& part, Bears bears) {
    if (bears == Bears::kCallIds) return call_ids(part);
    bool parameters = false;
    for (size_t at = part.begin; at < part.end && !addresses_.full();) {
      const std::string_view rest = addresses_.text({at, part.end});
      switch (rest.front()) {
        case '"':
          at += quoted_size(rest);
          continue;
        case '<': {
          const size_t close = std::min(rest.find('>'), rest.size());
          uri({at + 1, at + close});
          at += std::min(close + 1, rest.size());
          continue;
        }
        case ';':
          parameter({at + 1, part.end});
          parameters = true;
          break;
        case ',':
          parameters = false;
          break;
        default:
          if (parameters || kBlanks.find(rest.front()) != kBlanks.npos) break;
          at += word(at, rest, bears);
          continue;
      }
      ++at;
    }
  }

 private:
  void host(const Part& part) { addresses_.translate(part, " \t\r\n,;:?&>\"/%"); }

  void host_behind_scheme(const Part& part) {
    const std::string_view text = addresses_.text(part);
    const size_t colon = text.find(':');
    if (colon == text.npos) return;
    const bool slashes = text.substr(colon + 1).starts_with("//");
    host({part.begin + colon + 1 + (slashes ? 2 : 0), part.end});
  }

  // `part` begins behind a semicolon. Some proxies have a URI for the value.
  void parameter(const Part& part) {
    const std::string_view text = addresses_.text(part);
    size_t at = behind_blanks(text, 0);
    const std::string_view named = text.substr(at);
    const size_t size = begins_with(named, "received") ? 8 : begins_with(named, "maddr") ? 5 : 0;
    if (size == 0) return;
    at = behind_blanks(text, at + size);
    if (at >= text.size() || text[at] != '=') return;
    at = behind_blanks(text, at + 1);
    if (text.substr(at).starts_with('"')) ++at;
    for (const std::string_view scheme : {"sip:", "sips:"}) {
      if (begins_with(text.substr(at), scheme)) at += scheme.size();
    }
    host({part.begin + at, part.end});
  }

  // A word outside of quotes and brackets, at `at`; returns how long it is, at least 1.
  size_t word(size_t at, std::string_view rest, Bears bears) {
    const size_t size = std::min(rest.find_first_of(" \t\r\n,;<\""), rest.size());
    if (bears == Bears::kHosts) {
      host({at, at + size});
    } else {
      uri({at, at + size});
    }
    return size;
  }

  void call_ids(const Part& part) {
    const std::string_view text = addresses_.text(part);
    for (size_t at = text.find('@'); at != text.npos && !addresses_.full();
         at = text.find('@', at + 1)) {
      host({part.begin + at + 1, part.end});
    }
  }

  static size_t quoted_size(std::string_view text) {
    size_t at = 1;
    while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
    return std::min(at + 1, text.size());
  }
  // Few are enough, and more of them may be there for each of many parameters.
  static size_t behind_blanks(std::string_view text, size_t at) {
    constexpr size_t kMost = 8;
    const size_t end = std::min(text.size(), at + kMost);
    while (at < end && kBlanks.find(text[at]) != kBlanks.npos) ++at;
    return std::min(at, text.size());
  }

  Addresses& addresses_;
};

// The URI of "METHOD uri SIP/2.0"; empty at the end of "SIP/2.0 NNN"; nothing of another line.
std::optional<std::string_view> request_uri(std::string_view line) {
  if (line.starts_with(kVersion)) {
    const std::string_view code = line.substr(kVersion.size());
    const bool response = code.size() >= 4 && code[0] == ' ' &&
                          std::ranges::all_of(code.substr(1, 3), is_digit) &&
                          (code.size() == 4 || code[4] == ' ');
    return response ? std::optional(line.substr(line.size())) : std::nullopt;
  }
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == line.npos || first == 0 || last <= first + 1) return std::nullopt;
  if (line.substr(last + 1) != kVersion) return std::nullopt;
  const std::string_view uri = line.substr(first + 1, last - first - 1);
  return uri.find(' ') == uri.npos ? std::optional(uri) : std::nullopt;
}

// ---- SDP ----------------------------------------------------------------------------------------

// Which fields of a line, blanks between them, are addresses; the one with its beginning is 0.
struct SdpLine {
  std::string_view begins;
  size_t first;
  size_t each;  // so many further on there is another; 0: there is not
  bool last;    // the last field, whichever
  bool raddr;   // the one behind the field `raddr`

  bool is_address(size_t field) const {
    return field == first || (each > 0 && field > first && (field - first) % each == 0);
  }
};
constexpr SdpLine kSdpLines[] = {
    {"o=", 0, 0, true, false},
    {"c=", 2, 0, false, false},
    {"a=rtcp:", 3, 0, false, false},
    {"a=candidate:", 4, 0, false, true},
    {"a=remote-candidates:", 1, 3, false, false},
    {"a=source-filter:", 3, 1, false, false},
};

void sdp_line(Addresses& addresses, const Part& part) {
  const std::string_view text = addresses.text(part);
  const auto* kind = std::ranges::find_if(
      kSdpLines, [&](const SdpLine& line) { return text.starts_with(line.begins); });
  if (kind == std::end(kSdpLines)) return;
  std::string_view before;
  size_t number = 0;
  for (size_t at = 0; at < text.size() && !addresses.full(); ++number) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view field = text.substr(at, end - at);
    at = std::min(text.find_first_not_of(' ', end), text.size());
    const bool wanted = kind->last ? at == text.size() : kind->is_address(number);
    if (wanted || (kind->raddr && before == "raddr"))
      addresses.translate(addresses.part(field), "/");
    before = field;
  }
}

void sdp_lines(Addresses& addresses, Part part) {
  while (part.begin < part.end && !addresses.full()) {
    const std::string_view rest = addresses.text(part);
    const size_t size = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, size);
    if (line.ends_with('\r')) line.remove_suffix(1);
    sdp_line(addresses, addresses.part(line));
    part.begin += std::min(size + 1, rest.size());
  }
}

// What header lines say of the body.
class BodyKind {
 public:
  void see(const MessageHead::Line& line, bool sip) {
    if (is_named(line, "content-type", "c", sip)) {
      const size_t end = line.value.find_first_of("; \t\r\n");
      const std::string_view type = line.value.substr(0, end);
      sdp_ |= is_header_name(type, "application/sdp") || begins_with(type, "multipart/");
    }
    if (is_named(line, "content-encoding", "e", sip)) {
      encoded_ |= !is_header_name(line.value, "identity");
    }
  }
  bool sdp() const { return sdp_ && !encoded_; }

 private:
  static bool is_named(const MessageHead::Line& line, std::string_view name,
                       std::string_view compact, bool sip) {
    return is_header_name(line.name, name) || (sip && is_header_name(line.name, compact));
  }
  bool sdp_ = false;
  bool encoded_ = false;
};

Part body_of(Bytes message, size_t begin) {
  const auto length = find_content_length(message);
  size_t size = message.size() - begin;
  if (length && length->value < size) size = static_cast<size_t>(length->value);
  return {begin, begin + size};
}

// Of a message whose headers end.
void find(const AddressTable& table, Bytes message, bool headers, EditList& list) {
  Addresses addresses(table, message, list);
  SipValues values(addresses);
  MessageHead head(message);
  BodyKind kind;
  if (headers) {
    if (const auto uri = request_uri(head.start_line())) values.uri(addresses.part(*uri));
  }
  while (const auto line = head.next()) {
    kind.see(*line, head.sip());
    if (!headers) continue;
    if (const Header* header = find_header(line->name)) {
      values.values(addresses.part(line->value), header->bears);
    }
  }
  if (kind.sdp()) sdp_lines(addresses, body_of(message, head.body()));
}

}  // namespace

bool is_sip_message(Bytes message) noexcept {
  return request_uri(MessageHead(message).start_line()) && has_whole_head(message);
}

void find_sip(const AddressTable& table, Bytes message, EditList& list) noexcept {
  if (is_sip_message(message)) find(table, message, true, list);
}

void find_sdp(const AddressTable& table, Bytes message, EditList& list) noexcept {
  if (has_whole_head(message)) find(table, message, false, list);
}

}  // namespace fettle
