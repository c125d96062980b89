from agents.core.index import Index


def test_members_are_found_by_their_keys_in_the_order_of_their_coming():
    index = Index[int, str]()
    for member, key in ((3, "a"), (1, "a"), (2, "b")):
        index.put(member, key)
    assert index.at("a") == (3, 1)
    assert index.at("b") == (2,)
    assert index.at("c") == ()


def test_a_member_with_another_key_is_found_by_that_alone():
    index = Index[int, str]()
    index.put(1, "a")
    index.put(2, "b")
    index.put(1, "b")
    assert index.at("a") == ()
    assert index.at("b") == (2, 1)


def test_the_same_key_again_changes_no_order():
    index = Index[int, str]()
    index.put(1, "a")
    index.put(2, "a")
    index.put(1, "a")
    assert index.at("a") == (1, 2)


def test_nothing_stays_of_members_that_are_gone():
    index = Index[int, str]()
    index.put(1, "a")
    index.put(2, "b")
    for member in (1, 2, 2):
        index.put(member, None)
    assert index.at("a") == ()
    assert len(index) == 0
