#include "core/stream_map.h"

#include <algorithm>

namespace fettle::stream {

Map::Map(const Direction& direction, const EditRecord* records)
    : delta_(direction.delta), count_(direction.edit_count) {
  uint32_t at = direction.newest;
  for (uint32_t i = count_; i-- > 0; at = records[at].older) edits_[i] = &records[at];
}

uint32_t Map::to_edited(uint32_t original) const {
  for (uint32_t i = count_; i-- > 0;) {
    const EditRecord& edit = *edits_[i];
    if (!before(edit.position, original)) continue;
    if (!before(original, edit.end())) return original + edit.delta_after();
    return edit.edited() + std::min(original - edit.position, edit.replacement);
  }
  return original + delta_;
}

uint32_t Map::to_original(uint32_t edited) const {
  for (uint32_t i = count_; i-- > 0;) {
    const EditRecord& edit = *edits_[i];
    if (before(edited, edit.edited())) continue;
    // An insertion's end names no original byte: the one behind the insertion begins there.
    if (!before(edited, edit.edited_end())) return edited - edit.delta_after();
    const uint32_t into = edited - edit.edited();
    if (edit.original == 0) return edit.position;
    return edit.position + std::min(into, edit.original - 1);
  }
  return edited - delta_;
}

uint32_t Map::to_original_up(uint32_t edited) const {
  for (uint32_t i = count_; i-- > 0;) {
    const EditRecord& edit = *edits_[i];
    if (!before(edit.edited(), edited)) continue;
    if (before(edit.edited_end(), edited)) return edited - edit.delta_after();
    const uint32_t into = edited - edit.edited();
    if (edit.original == 0) return edit.position + 1;
    return into < edit.original ? edit.position + into : edit.end();
  }
  return edited - delta_;
}

}  // namespace fettle::stream
