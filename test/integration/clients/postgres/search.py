"""Searches a table with one client, as its documentation says, and prints the texts and distances that it finds.

Usage: python search.py <client> <table> <vector as JSON>, with DATABASE_URL. The client "LangChain" has tables of its
own: with "fill" in place of the vector, it fills them with the rows of the table.
"""

import json
import os
import sys

import psycopg
from langchain_core.embeddings import Embeddings

URL = os.environ["DATABASE_URL"]
LIMIT = 5


class NoEmbeddings(Embeddings):
    """All vectors are given."""

    def embed_documents(self, texts):
        raise NotImplementedError

    def embed_query(self, text):
        raise NotImplementedError


def rows_of(table):
    with psycopg.connect(URL) as connection:
        return connection.execute(f"select id, content, embedding::text from {table}").fetchall()


def by_psycopg(table, vector):
    with psycopg.connect(URL) as connection:
        return connection.execute(
            f"select content, embedding <=> %(v)s::vector as distance from {table} order by distance limit {LIMIT}",
            {"v": json.dumps(vector)},
        ).fetchall()


def store_of(length):
    from langchain_postgres import PGVector

    return PGVector(
        embeddings=NoEmbeddings(),
        collection_name="docs",
        connection=URL.replace("postgres://", "postgresql+psycopg://"),
        embedding_length=length,
        create_extension=False,
    )


def fill(table):
    ids, texts, vectors = zip(*rows_of(table))
    vectors = [json.loads(vector) for vector in vectors]
    store_of(len(vectors[0])).add_embeddings(
        texts=list(texts), embeddings=vectors, ids=[str(id) for id in ids]
    )


def by_langchain(_table, vector):
    found = store_of(len(vector)).similarity_search_with_score_by_vector(vector, k=LIMIT)
    return [(document.page_content, score) for document, score in found]


client, table, given = sys.argv[1:]
if given == "fill":
    fill(table)
else:
    search = {"psycopg": by_psycopg, "LangChain": by_langchain}[client]
    print(json.dumps([[text, float(distance)] for text, distance in search(table, json.loads(given))]))
