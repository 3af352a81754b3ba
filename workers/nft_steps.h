// Steps of a rule that take more than one word of nft.
#pragma once

#include <string>

#include "rules/check.h"
#include "rules/rule.h"
#include "workers/nft_words.h"

namespace fettle {

// Writes into the payload, from behind to the front: where the last bytes are not there, nft
// writes none of those before them.
std::string nft_write(const WriteStep& step);

struct NftTranslation {
  NftWords ways;        // in this order: the first that applies is the one that counts
  uint32_t size = 0;    // of the longest address, bytes
  std::string refused;  // why nft cannot; "": it can
};
NftTranslation nft_translation(const RuleSet& set, const TranslateStep& step, const Scope& scope);

}  // namespace fettle
