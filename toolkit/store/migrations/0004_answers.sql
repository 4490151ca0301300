-- What an answer holds beside its text and its tool calls.

ALTER TABLE calls ADD COLUMN choices JSON;          -- all answers, where more than one was given
ALTER TABLE calls ADD COLUMN parts JSON;            -- images, audio, citations, runs of server tools
ALTER TABLE calls ADD COLUMN fields_not_read JSON;  -- members of the answer that are not understood, by path
ALTER TABLE calls ADD COLUMN parsed_by VARCHAR;     -- toolkit | litellm
