// Memory of a stream table: its layout, the pools, and updates that a kill cannot halve.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <new>

#include "core/stream.h"

namespace fettle {
namespace {

using namespace stream;

constexpr char kMagic[8] = {'f', 's', 't', 'r', 'e', 'a', 'm', '3'};

struct Places {
  size_t connections, edits, chunks, handshakes, end;
};

Places places(const StreamTable::Size& size) {
  const auto line = [](size_t at) { return (at + 63) & ~size_t{63}; };
  Places p{};
  p.connections = line(sizeof(Header));
  p.handshakes = p.connections + size.connections * sizeof(Connection);
  p.edits = line(p.handshakes + size.handshakes * sizeof(Handshake));
  p.chunks = line(p.edits + size.edits * sizeof(EditRecord));
  p.end = line(p.chunks + size.chunks * sizeof(Chunk));
  return p;
}

StreamTable::Size rounded(StreamTable::Size size) {
  size.connections = std::bit_ceil(std::max(size.connections, kWays));
  size.handshakes = std::bit_ceil(std::max(size.handshakes, 1u));
  return size;
}

// The stores before it are made before those after it, as a kill at any instruction sees them.
void in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

template <typename T>
T* at(std::span<std::byte> memory, size_t place) {
  return std::launder(static_cast<T*>(static_cast<void*>(memory.data() + place)));
}

}  // namespace

size_t StreamTable::bytes(const Size& size) { return places(rounded(size)).end; }

void StreamTable::format(std::span<std::byte> memory, const Size& asked, const SipKey& key) {
  const Size size = rounded(asked);
  std::memset(memory.data(), 0, bytes(size));
  Header* header = new (memory.data()) Header{};
  header->connections = size.connections;
  header->edits = size.edits;
  header->chunks = size.chunks;
  header->handshakes = size.handshakes;
  header->key = key;
  in_order();
  std::memcpy(header->magic.data(), kMagic, sizeof kMagic);
}

bool StreamTable::attach(std::span<std::byte> memory) {
  if (memory.size() < sizeof(Header)) return false;
  header_ = at<Header>(memory, 0);
  if (std::memcmp(header_->magic.data(), kMagic, sizeof kMagic) != 0) return false;
  const Size size{header_->connections, header_->edits, header_->chunks, header_->handshakes};
  const Places p = places(size);
  if (memory.size() < p.end) return false;
  connections_ = at<Connection>(memory, p.connections);
  edits_ = at<EditRecord>(memory, p.edits);
  chunks_ = at<Chunk>(memory, p.chunks);
  handshakes_ = at<Handshake>(memory, p.handshakes);
  Journal& journal = header_->journal;
  if (journal.marked == 1) connections_[journal.place] = journal.image;
  in_order();
  journal.marked = 0;
  sweep();
  return true;
}

void StreamTable::commit(uint32_t place, const Connection& image) {
  Journal& journal = header_->journal;
  in_order();
  journal.place = place;
  journal.image = image;
  in_order();
  std::atomic_ref(journal.marked).store(1, std::memory_order_release);
  in_order();
  connections_[place] = image;
  in_order();
  std::atomic_ref(journal.marked).store(0, std::memory_order_release);
  in_order();
}

// What connections refer to is marked, the rest is free. Marks mean nothing to anyone else, so a
// kill in here does no harm.
void StreamTable::sweep() {
  for (uint32_t i = 0; i < header_->edits; ++i) edits_[i].mark = 0;
  for (uint32_t i = 0; i < header_->chunks; ++i) chunks_[i].mark = 0;
  const auto mark_chain = [&](uint32_t chunk) {
    for (; chunk != kNone; chunk = chunks_[chunk].next) chunks_[chunk].mark = 1;
  };
  for (uint32_t i = 0; i < header_->connections; ++i) {
    if (connections_[i].state == State::kFree) continue;
    for (const Direction& direction : connections_[i].direction) {
      if (direction.tail_size > 0) mark_chain(direction.tail);
      uint32_t edit = direction.newest;
      for (uint32_t n = direction.edit_count; n > 0; --n, edit = edits_[edit].older) {
        edits_[edit].mark = 1;
        mark_chain(edits_[edit].chunk);
      }
    }
  }
  header_->free_edit = header_->free_chunk = kNone;
  header_->free_edits = header_->free_chunks = 0;
  for (uint32_t i = header_->edits; i-- > 0;)
    if (edits_[i].mark == 0) free_edit(i);
  for (uint32_t i = header_->chunks; i-- > 0;)
    if (chunks_[i].mark == 0) free_chunk(i);
}

uint32_t StreamTable::take_edit() {
  const uint32_t edit = header_->free_edit;
  if (edit == kNone) return kNone;
  header_->free_edit = edits_[edit].older;
  --header_->free_edits;
  return edit;
}

void StreamTable::free_edit(uint32_t edit) {
  edits_[edit].older = header_->free_edit;
  header_->free_edit = edit;
  ++header_->free_edits;
}

void StreamTable::free_chunk(uint32_t chunk) {
  chunks_[chunk].next = header_->free_chunk;
  header_->free_chunk = chunk;
  ++header_->free_chunks;
}

void StreamTable::free_chain(uint32_t chunk) {
  while (chunk != kNone) {
    const uint32_t next = chunks_[chunk].next;
    free_chunk(chunk);
    chunk = next;
  }
}

bool StreamTable::store(std::span<const std::byte> bytes, uint32_t* first) {
  *first = kNone;
  constexpr size_t kSize = sizeof(Chunk::bytes);
  if ((bytes.size() + kSize - 1) / kSize > header_->free_chunks) return false;
  uint32_t last = kNone;
  while (!bytes.empty()) {
    const uint32_t chunk = header_->free_chunk;
    header_->free_chunk = chunks_[chunk].next;
    --header_->free_chunks;
    const size_t size = std::min(bytes.size(), kSize);
    std::memcpy(chunks_[chunk].bytes.data(), bytes.data(), size);
    chunks_[chunk].next = kNone;
    (last == kNone ? *first : chunks_[last].next) = chunk;
    last = chunk;
    bytes = bytes.subspan(size);
  }
  return true;
}

void StreamTable::load_chain(uint32_t chunk, uint32_t skip, std::span<std::byte> out) const {
  constexpr uint32_t kSize = sizeof(Chunk::bytes);
  for (; skip >= kSize && chunk != kNone; skip -= kSize) chunk = chunks_[chunk].next;
  while (!out.empty() && chunk != kNone) {
    const size_t size = std::min<size_t>(out.size(), kSize - skip);
    std::memcpy(out.data(), chunks_[chunk].bytes.data() + skip, size);
    out = out.subspan(size);
    skip = 0;
    chunk = chunks_[chunk].next;
  }
}

void StreamTable::free_edits(uint32_t newest, uint32_t count) {
  while (count-- > 0) {
    const uint32_t older = edits_[newest].older;
    free_chain(edits_[newest].chunk);
    free_edit(newest);
    newest = older;
  }
}

// After the commit that frees its place.
void StreamTable::free_streams(const Connection& connection) {
  for (const Direction& direction : connection.direction) {
    if (direction.tail_size > 0) free_chain(direction.tail);
    free_edits(direction.newest, direction.edit_count);
  }
}

}  // namespace fettle
