// The words that MatchTests is made of, for who writes them (match_tests_builder.cc) and who reads
// them (match_tests.cc).
#pragma once

#include <cstdint>

#include "core/bytes.h"

namespace fettle {

__extension__ using Wide = unsigned __int128;  // an IPv6 address

inline constexpr uint32_t kRuleWords = 2;  // whether it looks at the transport; how many groups
inline constexpr uint32_t kRangeWords = 2;
inline constexpr uint32_t kInterfaceWords = 8;
inline constexpr uint32_t kIcmpWords = 6;
inline constexpr uint32_t kBytesHeaderWords = 3;
inline constexpr uint32_t kChanceWords = 3;  // the share, what makes it the key's own

inline uint32_t words_for(uint32_t bytes) { return (bytes + 3) / 4; }

inline Wide load_wide(const std::byte* at) { return Wide{load_be64(at)} << 64 | load_be64(at + 8); }

}  // namespace fettle
