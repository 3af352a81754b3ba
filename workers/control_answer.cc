#include "workers/control_answer.h"

#include <concepts>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "workers/printable.h"

namespace fettle {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 32;  // arrays and objects in each other: nlohmann writes by recursion

std::string place_of(std::string_view path, std::string_view name) {
  return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
}

// Reads the members of one object. The first that is wrong is kept in *error.
class Members {
 public:
  Members(const Json& object, std::string path, std::string* error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object.is_object()) wrong("", object, "an object");
  }

  void read(std::string_view name, std::string* out) const {
    const Json* found = find(name);
    if (found && !found->is_string()) return wrong(name, *found, "a string");
    if (found) *out = found->get_ref<const std::string&>();
  }
  void read(std::string_view name, bool* out) const {
    const Json* found = find(name);
    if (found && !found->is_boolean()) return wrong(name, *found, "true or false");
    if (found) *out = found->get<bool>();
  }
  template <std::integral T>
  void read(std::string_view name, T* out) const {
    const Json* found = find(name);
    if (!found) return;
    if (!fits<T>(*found)) {
      return wrong(name, *found,
                   fmt::format("a whole number from {} to {}", std::numeric_limits<T>::min(),
                               std::numeric_limits<T>::max()));
    }
    *out = found->get<T>();
  }

  // The member, where it is there and not null, goes to `reader`, with its path.
  template <typename Reader>
  void read_object(std::string_view name, Reader&& reader) const {
    const Json* found = find(name);
    if (found) reader(Members(*found, place_of(path_, name), error_));
  }
  template <typename T, typename Reader>
  void read_array(std::string_view name, std::vector<T>* out, Reader&& reader) const {
    const Json* found = find(name);
    if (!found) return;
    if (!found->is_array()) return wrong(name, *found, "an array");
    for (const Json& element : *found) {
      const std::string path = fmt::format("{}[{}]", place_of(path_, name), out->size());
      out->push_back(reader(Members(element, path, error_)));
    }
  }

 private:
  template <typename T>
  static bool fits(const Json& value) {
    if (value.is_number_unsigned()) return std::in_range<T>(value.get<uint64_t>());
    return value.is_number_integer() && std::in_range<T>(value.get<int64_t>());
  }

  const Json* find(std::string_view name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  void wrong(std::string_view name, const Json& found, std::string_view expected) const {
    if (!error_->empty()) return;
    const std::string place = name.empty() ? path_ : place_of(path_, name);
    // A large value is not written out to be cut off.
    const std::string text =
        found.is_structured() ? fmt::format("an {}", found.type_name()) : printable(found.dump());
    *error_ =
        fmt::format("{}: found {}, expected {}", place.empty() ? "it" : place, text, expected);
  }

  const Json& object_;
  std::string path_;
  std::string* error_;
};

SettingsReport read_settings(const Members& members) {
  SettingsReport out;
  members.read("length", &out.length);
  members.read("copy_range", &out.copy_range);
  members.read("fail_open", &out.fail_open);
  members.read("gso", &out.gso);
  members.read("conntrack", &out.conntrack);
  members.read("receive_buffer", &out.receive_buffer);
  return out;
}

WorkerReport read_worker(const Members& members) {
  WorkerReport out;
  members.read("pid", &out.pid);
  members.read("state", &out.state);
  members.read("for_ms", &out.for_ms);
  members.read("restart_in_ms", &out.restart_in_ms);
  members.read("restarts", &out.restarts);
  members.read("last_end", &out.last_end);
  members.read("last_end_at", &out.last_end_at);
  return out;
}

QueueReport read_queue(const Members& members) {
  QueueReport out;
  members.read("queue", &out.queue);
  members.read("cpus", &out.cpus);
  members.read_object("settings", [&](const Members& m) { out.settings = read_settings(m); });
  members.read_object("worker", [&](const Members& m) { out.worker = read_worker(m); });
  for (const QueueCounter& counter : queue_counters()) {
    members.read_object(counter_group_name(counter.group), [&](const Members& group) {
      group.read(counter.name, &(out.counters.*counter.value));
    });
  }
  return out;
}

RuleReport read_rule(const Members& members) {
  RuleReport out;
  members.read("name", &out.name);
  members.read("hits", &out.hits);
  members.read("misses", &out.misses);
  return out;
}

ReloadReport read_reload(const Members& members) {
  ReloadReport out;
  members.read("at", &out.at);
  members.read("exit", &out.exit);
  members.read("message", &out.message);
  return out;
}

ControlReport read_control(const Members& members) {
  ControlReport out;
  members.read("path", &out.path);
  members.read("requests", &out.requests);
  members.read("malformed", &out.malformed);
  members.read("refused", &out.refused);
  members.read("cut_off", &out.cut_off);
  return out;
}

FeedReport read_feed(const Members& members) {
  FeedReport out;
  members.read("rules", &out.rules);
  members.read("uncounted", &out.uncounted);
  members.read("beyond", &out.beyond);
  members.read("bypass", &out.bypass);
  members.read("sent", &out.sent);
  members.read("unqueued", &out.unqueued);
  members.read("bypassed", &out.bypassed);
  members.read("age_ms", &out.age_ms);
  members.read("error", &out.error);
  return out;
}

RunStatus read_status(const Members& members) {
  RunStatus out;
  members.read("version", &out.version);
  members.read("pid", &out.pid);
  members.read("phase", &out.phase);
  members.read("shadow", &out.shadow);
  members.read("started_at", &out.started_at);
  members.read("up_ms", &out.up_ms);
  members.read("rule_file", &out.rule_file);
  members.read("loaded_at", &out.loaded_at);
  members.read_object("last_reload", [&](const Members& m) { out.last_reload = read_reload(m); });
  members.read_object("control", [&](const Members& m) { out.control = read_control(m); });
  members.read_object("feed", [&](const Members& m) { out.feed = read_feed(m); });
  members.read_array("queues", &out.queues, read_queue);
  members.read("pushed_rules", &out.pushed_rules);
  members.read_array("rules", &out.rules, read_rule);
  return out;
}

std::unexpected<Error> no_answer(std::string_view why) {
  return fail(ErrorCode::kProtocol, fmt::format("the answer is none of fettle's: {}", why));
}

std::unexpected<Error> no_json(std::string_view text) {
  const std::string_view end = text.substr(text.size() - std::min<size_t>(text.size(), 40));
  return no_answer(
      fmt::format("found {} bytes, \"{}\", that end with \"{}\", expected a whole JSON "
                  "object",
                  text.size(), printable(text, 40), printable(end)));
}

}  // namespace

Result<ControlAnswer> parse_control_answer(std::string_view text) {
  if (text.empty()) return no_answer("found nothing, expected a JSON object");
  bool too_deep = false;
  const auto look = [&](int depth, Json::parse_event_t, const Json&) {
    too_deep |= depth > kDeepest;
    return !too_deep;
  };
  const Json document = Json::parse(text, look, false);
  if (too_deep)
    return no_answer(fmt::format("found more than {} levels, expected fewer", kDeepest));
  if (document.is_discarded()) return no_json(text);
  ControlAnswer out;
  out.exit = -1;
  std::string error;
  const Members members(document, "", &error);
  members.read("exit", &out.exit);
  members.read("message", &out.message);
  members.read_object("status", [&](const Members& m) { out.status = read_status(m); });
  if (error.empty() && (out.exit < 0 || out.exit > 255)) {
    error = fmt::format("exit: found {}, expected 0 to 255",
                        out.exit == -1 ? "none" : std::to_string(out.exit));
  }
  if (!error.empty()) return no_answer(error);
  out.json = document.dump(2);
  if (out.status) out.status_json = document["status"].dump(2);
  return out;
}

}  // namespace fettle
