"""Providers & Keys: who can be called, with which key, and whether it works."""

import streamlit as st

st.title("Providers & Keys")
