// Content-Length that follows the edits of a list. length_steps_test.cc has where it is found.
#include "rules/text_message.h"

#include <memory>

#include <gtest/gtest.h>

namespace fettle {
namespace {

constexpr uint32_t kNumber = 22;  // where the number stands in the messages below

struct Given {
  uint32_t offset, length;
  const char* with;
};
// What it adds to such edits; "!" where it says that it cannot.
std::string added(const std::string& text, std::initializer_list<Given> edits) {
  const auto list = std::make_unique<EditList>();
  for (const Given& edit : edits) {
    EXPECT_TRUE(
        list->add(edit.offset, edit.length, std::as_bytes(std::span(std::string_view(edit.with)))));
  }
  if (!mend_content_length(std::as_bytes(std::span(text)), *list)) {
    EXPECT_EQ(list->edits().size(), edits.size());
    return "!";
  }
  for (const StreamEdit& edit : list->edits()) {
    if (edit.offset != kNumber) continue;
    return {reinterpret_cast<const char*>(edit.with.data()), edit.with.size()};
  }
  return "";
}

TEST(MendContentLength, CountsTheEditsOfTheBody) {
  const std::string text = "A B C\r\nContent-Length:9\r\n\r\nabcdefghi";  // the body begins at 27
  EXPECT_EQ(added(text, {}), "");
  EXPECT_EQ(added(text, {{27, 1, "xyz"}}), "11");
  EXPECT_EQ(added(text, {{27, 9, ""}}), "0");
  EXPECT_EQ(added(text, {{36, 0, "x"}}), "10");
  EXPECT_EQ(added(text, {{0, 1, "xyz"}, {27, 1, "xyz"}, {30, 2, ""}}), "");
  EXPECT_EQ(added(text, {{0, 1, "xyz"}}), "");
  EXPECT_EQ(added(text, {{25, 4, "x"}}), "!");                  // the empty line, too
  EXPECT_EQ(added(text, {{22, 1, "8"}, {27, 1, "xyz"}}), "!");  // the number
  EXPECT_EQ(added(text, {{21, 3, ": 8"}, {27, 1, "xyz"}}), "!");
  const std::string shorter = "A B C\r\nContent-Length:3\r\n\r\nabcdefghi";
  EXPECT_EQ(added(shorter, {{27, 3, ""}}), "0");
  EXPECT_EQ(added(shorter, {{31, 1, "xyz"}}), "");   // behind the body
  EXPECT_EQ(added(shorter, {{29, 2, "xyz"}}), "!");  // its end
}

TEST(MessageHead, LinesInTurnWithWhatGoesOn) {
  const std::string text =
      "A B C\r\n gone\nx : \t1 \r\n\t2\r\nno colon\r\n more\r\n:\r\nY:\r\n\nbody";
  MessageHead head(std::as_bytes(std::span(text)));
  EXPECT_EQ(head.start_line(), "A B C");
  const auto x = head.next();
  ASSERT_TRUE(x);
  EXPECT_EQ(x->name, "x");
  EXPECT_EQ(x->value, "1 \r\n\t2");
  const auto y = head.next();
  ASSERT_TRUE(y);
  EXPECT_EQ(y->name, "Y");
  EXPECT_EQ(y->value, "");
  EXPECT_FALSE(head.complete());
  EXPECT_FALSE(head.next());
  EXPECT_FALSE(head.next());
  EXPECT_TRUE(head.complete());
  EXPECT_EQ(text.substr(head.body()), "body");
}

}  // namespace
}  // namespace fettle
