// Bytes from outside as they may be shown: in messages, on terminals, in JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fettle {

// The length of the UTF-8 sequence that `text` begins with (RFC 3629); 0: none, or it is empty.
size_t utf8_sequence(std::string_view text);

// At most `most` bytes of the text, and "..." where it is longer. Control characters, DEL and bytes
// that are no UTF-8 appear as \n, \t or \x1b, a backslash as two: the terminal sees none of them.
std::string printable(std::string_view text, size_t most = 60);

// The same for text of several lines, all of it: line breaks stay, and so do backslashes.
std::string printable_lines(std::string_view text);

}  // namespace fettle
